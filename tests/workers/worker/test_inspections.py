"""An inspection is believed where it has the form that pages read."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.test_documentation import ROOT
from tests.stand_in import INSPECTION
from workers.errors import Internal
from workers.jobs.job import JobTask, Kind
from workers.recipe import Recipe
from workers.recipe.forecast import foresee
from workers.run.clock import Clock
from workers.run.inspection import inspect, inspect_samples
from workers.worker.inspections import checked

DIGITS = ROOT / "examples" / "digits.onnx"


def inspected(kind: Kind, out: Path) -> dict[str, Any]:
    task = JobTask(kind, str(DIGITS), str(out), {}, str(DIGITS.with_suffix(".npz")), None, 1, None, None, None)
    (inspect if kind == Kind.INSPECT else inspect_samples)(task, Clock(lambda *event, **data: None))
    found: dict[str, Any] = json.loads((out / "inspection.json").read_text())
    return found


@pytest.mark.parametrize("kind", [Kind.INSPECT, Kind.INSPECT_DATASET])
def test_what_an_inspection_finds_is_believed(kind: Kind, tmp_path: Path) -> None:
    found = inspected(kind, tmp_path / "out")
    assert checked(kind, found) == found


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (dict.clear, "format"),
        (lambda found: found.update(parameters="many"), "parameters"),
        (lambda found: found.update(bytes=-1), "bytes"),
        (lambda found: found.update(precision="f64"), "precision"),
        (lambda found: found.update(layers={"name": "x"}), "layers"),
        (lambda found: found["layers"][0].pop("macs"), "layers.0.macs"),
        (lambda found: found["layers"][0].update(shape=[1.5]), "layers.0.shape"),
        (lambda found: found["layers"][0].update(name="x" * 20_000), "layers.0.name"),
        (lambda found: found["skipped"].append({"name": "x", "type": "y", "reason": "z", "more": 1}), "skipped.0.more"),
    ],
)
def test_what_pages_cannot_read_is_a_failure_of_the_job(change: Any, where: str) -> None:
    found = json.loads(json.dumps(INSPECTION))
    assert foresee(checked(Kind.INSPECT, found), Recipe.model_validate({"steps": [{"method": "inq"}]})).layers
    change(found)
    with pytest.raises(Internal, match=where):
        checked(Kind.INSPECT, found)
