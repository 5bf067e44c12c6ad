"""Manifests are valid, restricted and set what Fractune reads; Compose confines; a secret is given to those that need it; the
board asks for figures that exist. That Compose can read its files is checked by `make check`."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from service.http.metrics import Metrics
from workers.jobs.store import Store
from workers.settings import Settings

DOCKER = Path(__file__).parents[2] / "docker"
MANIFESTS = DOCKER / "kubernetes"
OLDEST, NEWEST = "1.29", "1.37"  # Kubernetes


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that the kustomization applies, with its file."""
    for name in yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]:
        for document in yaml.safe_load_all((MANIFESTS / name).read_text()):
            yield name, document


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for _, document in objects():
        if "template" in document.get("spec", {}):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


def test_the_kustomization_names_every_manifest() -> None:
    files = {path.name for path in MANIFESTS.glob("*.yaml")} - {"kustomization.yaml"}
    assert {name for name, _ in objects()} == files


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid(version: str) -> None:
    for _, document in objects():
        kubernetes_validate.validate(document, version, strict=True)


def test_a_wrong_field_is_found() -> None:
    _, document = next((name, document) for name, document in objects() if document["kind"] == "Deployment")
    document["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, NEWEST, strict=True)


def test_every_pod_is_restricted_and_bounded() -> None:
    for name, pod in pods():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name


def test_what_the_api_alone_may_know_no_other_pod_is_given() -> None:
    given = {name: json.dumps(pod) for name, pod in pods()}
    assert {name for name, pod in given.items() if "fractune-openid" in pod} == {"api"}
    [api] = [pod for name, pod in pods() if name == "api"]
    [secrets] = [volume for volume in api["volumes"] if volume["name"] == "secrets"]
    sources = [source["secret"] for source in secrets["projected"]["sources"]]
    assert sources == [{"name": "fractune"}, {"name": "fractune-openid", "optional": True}]


def test_every_mount_has_its_volume_and_every_selector_its_pods() -> None:
    for name, pod in pods():
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        claimed = {"database"} if name == "database" else set()
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claimed, name
    labels = {
        document["spec"]["template"]["metadata"]["labels"]["app"]
        for _, document in objects()
        if "template" in document.get("spec", {})
    }
    selected = {
        app
        for path in MANIFESTS.glob("*.yaml")
        for app in re.findall(r"fractune-(?:api|worker|broker|database)\b", path.read_text())
    }
    assert selected == labels


def test_what_it_sets_is_what_fractune_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    config = next(document for _, document in objects() if document["kind"] == "ConfigMap")
    for name, value in config["data"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    known = {f"FRACTUNE_{field.upper()}" for field in Settings.model_fields}
    assert set(config["data"]) <= known
    assert (settings.database_url, settings.storage_url) == (config["data"]["FRACTUNE_DATABASE_URL"], None)


def test_the_board_asks_for_figures_that_exist(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path}/fractune.db")) as store:
        store.migrate()
        content, _ = Metrics(store, lambda _: 0, {"retention": 0})()
    told = {
        sample for family in text_string_to_metric_families(content.decode()) for sample in samples(family.name, family.type)
    }
    board = json.loads((DOCKER / "grafana" / "fractune.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = set(re.findall(r"\bfractune_\w+", " ".join(queries)))
    assert asked
    assert asked <= told


def samples(family: str, kind: str) -> Iterator[str]:
    """The names of a family's samples."""
    suffixes = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
    yield from (family + suffix for suffix in suffixes.get(kind, ("",)))


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
    found: dict[str, Any] = yaml.load((DOCKER.parent / file).read_text(), Loader)["services"]
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
