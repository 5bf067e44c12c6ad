from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import make_url

from workers.errors import InvalidSettings
from workers.settings import GIB, Settings, read_settings, with_password


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


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"FRACTUNE_{name}", value)


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("LIMITS__MEMORY", "4GiB", lambda settings: settings.limits.memory == 4 * GIB),
        ("LIMITS__MEMORY", "1000", lambda settings: settings.limits.memory == 1000),
        ("MAX_UPLOAD_BYTES", "1.5GB", lambda settings: settings.max_upload_bytes == 1.5e9),
        ("RATE_LIMIT", "", lambda settings: settings.rate_limit == 30_000),  # empty is absent
        ("AUTH", "false", lambda settings: settings.auth is False),
        (
            "WEBHOOK_TARGETS",
            '["10.1.0.0/16", "*.corp.example"]',
            lambda settings: settings.webhook_targets == (IPv4Network("10.1.0.0/16"), "*.corp.example"),
        ),
        ("WORKER_LABELS", '{"pool": "night"}', lambda settings: settings.worker_labels == {"pool": "night"}),
        ("HEARTBEAT_S", "4", lambda settings: settings.answer_s == 5),
        ("CONNECTIONS__PER_KEY", "3", lambda settings: settings.connections.per_key == 3),
    ],
)
def test_variables_are_read(monkeypatch: pytest.MonkeyPatch, name: str, text: str, read: Any) -> None:
    environment(monkeypatch, **{name: text})
    assert read(read_settings())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("RATE_LIMIT", "0", "FRACTUNE_RATE_LIMIT: "),
        ("RATE_LIMIT", "many", "FRACTUNE_RATE_LIMIT: "),
        ("LIMITS__MEMORY", "lots", "FRACTUNE_LIMITS__MEMORY: "),
        ("LIMITS__MEMROY", "1GB", "FRACTUNE_LIMITS__MEMROY: "),
        ("LIMITS__WALL_CLOCK_S", "-1", "FRACTUNE_LIMITS__WALL_CLOCK_S: "),
        ("LOG_FORMAT", "xml", "FRACTUNE_LOG_FORMAT: "),
        ("WEBHOOK_TARGETS", "10.0.0.0/8", "FRACTUNE_WEBHOOK_TARGETS: it is no JSON"),
        ("WEBHOOK_TARGETS", '["no such host!"]', "FRACTUNE_WEBHOOK_TARGETS"),
        ("LIMITS", "{", "FRACTUNE_LIMITS: it is no JSON"),
        ("TRUSTED_PROXIES", '["10.0.0.1/8"]', "FRACTUNE_TRUSTED_PROXIES"),
        ("REQUIRED_LAYERS", '["everything"]', "FRACTUNE_REQUIRED_LAYERS"),
        ("OIDC__ISSUER", "http://idp.example", "FRACTUNE_OIDC__ISSUER: "),
        ("WORKER_LABELS", '{"a b": "c"}', "FRACTUNE_WORKER_LABELS"),
    ],
)
def test_a_variable_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str) -> None:
    environment(monkeypatch, **{name: text})
    with pytest.raises(InvalidSettings) as refused:
        read_settings()
    assert words in refused.value.message


def test_what_is_not_known_is_refused_and_arguments_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, RATE_LIMIT="7")
    assert read_settings(rate_limit=9).rate_limit == 9
    with pytest.raises(InvalidSettings, match="FRACTUNE_RATE: "):
        read_settings(rate=9)


def test_everything_lies_in_the_data_folder_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    own = read_settings(data_dir=tmp_path)
    assert own.database == f"sqlite:///{tmp_path}/fractune.db"
    assert own.broker == f"redis+socket://{tmp_path}/broker.sock"
    other = read_settings(broker_url="redis://host:6379/1", broker_password="p@ss", database_url="postgresql+psycopg://u@db/x")
    assert (other.broker, other.database) == ("redis://:p%40ss@host:6379/1", "postgresql+psycopg://u@db/x")
    assert "p@ss" not in repr(other)
