"""What importing may do: nothing. The directions between packages are in pyproject.toml (`lint-imports`)."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fractal_data
import service
import workers

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    module.name
    for package in (service, workers, fractal_data)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda _: None)
    if not module.name.endswith("__main__")
)
HEAVY = ("openvino", "nncf", "torch")
# the API, the worker's parent process and the command line must not load the inference runtime
# but for what `fractune export` loads on the machine of a client
LIGHT = [name for name in MODULES if name.startswith("service") and name != "service.torch_export"] + [
    "workers.jobs",
    "workers.worker.broker",
    "workers.worker.tasks",
]

PROBE = """
import json, os, sys, threading
environment, threads = dict(os.environ), threading.active_count()
for name in sys.argv[1:]:
    __import__(name)
changed = dict(os.environ) != environment
print(json.dumps({"changed": changed, "threads": threading.active_count() - threads, "modules": sorted(sys.modules)}))
"""


def probe(*modules: str, folder: Path) -> dict[str, object]:
    """Import modules in a process of their own, in an empty folder; its only output must be the findings."""
    command = [sys.executable, "-W", "error", "-c", PROBE, *modules]
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(folder), "PATH": "", "CI": "true"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    findings: dict[str, object] = json.loads(done.stdout)
    return findings


def test_light_modules_do_not_load_the_inference_runtime(tmp_path: Path) -> None:
    modules = probe(*LIGHT, folder=tmp_path)["modules"]
    assert isinstance(modules, list)
    assert not set(HEAVY) & set(modules)


def test_importing_our_modules_changes_nothing(tmp_path: Path) -> None:
    findings = probe(*LIGHT, *[name for name in MODULES if name.startswith("fractal_data")], folder=tmp_path)
    assert findings["changed"] is False
    assert findings["threads"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", MODULES)
def test_module_names_say_what_is_inside(name: str) -> None:
    assert not {"utils", "util", "common", "helpers", "misc"} & set(name.split("."))
