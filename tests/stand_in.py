"""A program in the place of workers.run.child: it speaks the protocol, and does what the model file, JSON, tells it.

{"compress": "crash"} succeeds at inspection and dies of SIGSEGV at compression. See ACTS.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

INSPECTION = {
    "format": "onnx",
    "bytes": 4200,
    "precision": "f32",
    "operations": 3,
    "parameters": 1000,
    "inputs": [],
    "layers": [
        {"name": "conv1", "type": "Convolution", "shape": [10, 10, 3, 3], "weights": 900, "macs": 90_000, "outputs": 1000}
    ],
    "skipped": [],
}


def say(event: str, **data: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **data}) + "\n")
    sys.stdout.flush()


def succeed(task: dict[str, Any], out: Path) -> None:
    if task["kind"] == "inspect_dataset":
        (out / "inspection.json").write_text(json.dumps({"samples": 1}))
        return
    if task["kind"] == "inspect":
        (out / "inspection.json").write_text(json.dumps(INSPECTION))
        return
    (out / "1").mkdir()
    (out / "1" / "model.xml").write_text("<net/>")
    (out / "1" / "model.bin").write_bytes(bytes(4000))
    (out / "report.html").write_text("<!doctype html><title>Report</title>")
    (out / "provenance.json").write_text(json.dumps({"recipe": task["recipe"], "data": task["data"]}))
    report = {
        "sparsity": 0.5,
        "size": {"original_bytes": 4000, "compressed_bytes": 2000, "zip_bytes": 1000},
        "fidelity": {"agreement": {"value": 0.99, "low": 0.98, "high": 1.0}},
        "constraint": {"requested": 0.01, "achieved": 0.0, "met": "unverified"},
        "layers": [{"name": f"conv{n}", "sparsity": 0.5} for n in range(3)],
    }
    (out / "report.json").write_text(json.dumps(report))


def refuse(task: dict[str, Any], out: Path) -> None:
    say("failure", code="MODEL_UNREADABLE", message="It is not a model.", hint="Export it again.", stage="import", layer=None)
    sys.exit(2)


def hang(task: dict[str, Any], out: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError):  # where processes are not forbidden
        if os.fork() == 0:  # a grandchild that would be left behind
            signal.pause()
    while True:
        time.sleep(60)


def wait(task: dict[str, Any], out: Path) -> None:
    """Succeed when the file named `go` appears beside the model."""
    while not (Path(task["model"]).parents[2] / "go").exists():
        time.sleep(0.02)
    succeed(task, out)


def share(task: dict[str, Any], out: Path) -> None:
    """Say which candidates will be wanted, one of them twice."""
    say("parts", levels=[4, 2])
    say("parts", levels=[2, 7])
    succeed(task, out)


ACTS: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "succeed": succeed,
    "refuse": refuse,
    "hang": hang,
    "wait": wait,
    "share": share,
    "crash": lambda task, out: os.kill(os.getpid(), signal.SIGSEGV),
    "be killed": lambda task, out: os.kill(os.getpid(), signal.SIGKILL),
    "exhaust": lambda task, out: bytearray(1 << 40),
    "write nothing": lambda task, out: None,
    "link a secret": lambda task, out: (succeed(task, out), (out / "secret").symlink_to("/etc/passwd")),
}


def main(workdir: Path) -> None:
    task = json.loads((workdir / "task.json").read_text())
    told = Path(task["model"]).read_text() if task["model"] else "{}"
    acts = json.loads(told.removeprefix("<net>").removesuffix("</net>"))  # which passes for a model at its first bytes
    sys.stderr.write(f"at work on {task['kind']}\n")
    stages = (
        ("import",) if task["kind"].startswith("inspect") else ("import", "calibrate", "compress", "export", "verify", "report")
    )
    for stage in stages:
        say("progress", stage=stage, done=0, total=3, layer=None, message="")
        if stage == "compress":
            for n in range(3):
                say("layer", name=f"conv{n}", sparsity=0.5)
                say("progress", stage=stage, done=n + 1, total=3, layer=f"conv{n}", message="")
    ACTS[acts.get(task["kind"], "succeed")](task, Path(task["out"]))
    say("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
