"""What the files of Compose give to whom; that Compose can read them is checked by `make check`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ["docker-compose.yml", "docker/production.yml", "docker/openid.yml", "docker/cluster.yml", "docker/worker.yml"]
SECRETS = {"fractune_database_password", "fractune_broker_password", "fractune_storage_secret_key"}


class Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads past the tags by which one file takes away from another."""


def plain(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


Loader.add_multi_constructor("!", plain)


def services(file: str) -> dict[str, Any]:
    """What a file says of each service."""
    found: dict[str, Any] = yaml.load((ROOT / file).read_text(), Loader)["services"]
    return {name: service or {} for name, service in found.items()}


@pytest.mark.parametrize("file", FILES)
def test_only_the_api_hears_of_the_identity_provider(file: str) -> None:
    assert {name for name, service in services(file).items() if "oidc" in str(service).lower()} <= {"api"}


def test_each_has_the_secrets_that_it_needs() -> None:
    held = {name: set(service.get("secrets", [])) for name, service in services("docker/production.yml").items()}
    assert held["api"] == held["worker"] == SECRETS == set(services("docker/worker.yml")["worker"]["secrets"])
    assert held["broker"] | held["database"] | held["objects"] == SECRETS
    assert [len(held[name]) for name in ("broker", "database", "objects")] == [1, 1, 1]
    assert services("docker/openid.yml")["api"]["secrets"] == ["fractune_oidc__client_secret"]


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker/worker.yml"])
def test_every_service_is_confined(file: str) -> None:
    for name, service in services(file).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"], name
