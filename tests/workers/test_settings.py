from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import make_url

from workers.settings import Settings, with_password


def test_a_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fractune_database_password").write_text("s3/cr@t\n")
    monkeypatch.setenv("FRACTUNE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("FRACTUNE_DATABASE_URL", "postgresql+psycopg://fractune@database/fractune")
    settings = Settings()
    assert make_url(settings.database).password == "s3/cr@t"
    assert "s3/cr@t" not in repr(settings)


def test_the_environment_comes_before_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fractune_rate_limit").write_text("7")
    monkeypatch.setenv("FRACTUNE_SECRETS_DIR", str(tmp_path))
    assert Settings().rate_limit == 7
    monkeypatch.setenv("FRACTUNE_RATE_LIMIT", "8")
    assert Settings().rate_limit == 8


def test_the_providers_secret_comes_from_a_file_and_the_rest_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fractune_oidc__client_secret").write_text("s3cret\n")
    monkeypatch.setenv("FRACTUNE_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("FRACTUNE_OIDC", '{"issuer": "https://login.example", "client_id": "fractune"}')
    provider = Settings().oidc
    assert provider is not None
    assert provider.client_secret is not None
    assert (provider.client_id, provider.client_secret.get_secret_value()) == ("fractune", "s3cret")


def test_without_a_folder_of_secrets_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTUNE_SECRETS_DIR", str(tmp_path / "missing"))
    assert Settings(broker_url="redis://broker").broker == "redis://broker"


@given(password=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
@pytest.mark.parametrize("user", ["", "user@", "user:old@"])
def test_a_password_may_have_any_characters(user: str, password: str) -> None:
    url = make_url(with_password(f"redis://{user}broker:6379/0", SecretStr(password)))
    assert (url.password, url.host, url.port, url.database) == (password, "broker", 6379, "0")
    assert (url.username or "") == user.partition(":")[0].rstrip("@")
