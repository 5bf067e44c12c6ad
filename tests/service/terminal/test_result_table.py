"""The table at the end of a command, and the progress before it."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service.terminal.progress import StageProgress
from service.terminal.summary import read_report, show_result, summary


def interval(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


SIZE = {"original_bytes": 2_000_000, "compressed_bytes": 500_000, "original_zip_bytes": 1_800_000, "zip_bytes": 300_000}
FIDELITY = {
    "n": 500,
    "source": "dataset",
    "task": "classification",
    "metrics": [{"name": "top1", "reference": "original"}],
    "accuracy_metric": "top1",
    "accuracy_original": interval(0.916, 0.9, 0.93),
    "accuracy_compressed": interval(0.91, 0.89, 0.925),
    "agreement": interval(0.97, 0.95, 0.98),
}
SIDE = {"latency_median_ms": 1.5, "throughput_fps": 700.0}
BENCHMARK = {
    "hint": "latency",
    "original": SIDE,
    "compressed": {"latency_median_ms": 0.5, "throughput_fps": 2100.0},
    "ratio": interval(3.0, 2.9, 3.1) | {"significant": True},
}
REPORT: dict[str, Any] = {
    "size": SIZE,
    "sparsity": 0.5,
    "fidelity": FIDELITY,
    "benchmark": BENCHMARK,
    "memory": None,
    "constraint": None,
    "warnings": [],
    "recipe": {"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.7}]},
}
ADVICE = [
    {"action": "evaluate", "sentence": "Judge it.", "goal": None},
    {"action": "int8", "sentence": "Take int8.", "goal": None},
]


def printed(**changes: Any) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(summary(REPORT | changes))
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def test_what_it_was_and_what_it_is() -> None:
    text = printed()
    for words in (
        "size 2.00 MB 500 kB 4.00 times smaller",
        "size, zipped 1.80 MB 300 kB 6.00 times smaller",
        "zero weights 50.00 %",
        "accuracy 91.60 % 91.00 % [89.00, 92.50] on 500 held-out samples",
        "same answers 97.00 % [95.00, 98.00] on 500 held-out samples",
        "latency 1.500 ms 0.500 ms 3.00 times as fast [2.90, 3.10]",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": SIZE | {"compressed_bytes": 4_000_000}}, "size 2.00 MB 4.00 MB 2.00 times larger"),
        ({"size": SIZE | {"compressed_bytes": 2_000_000}}, "1.00 times smaller"),
        ({"size": SIZE | {"compressed_bytes": 999}}, "999 B"),
        ({"fidelity": FIDELITY | {"source": "fractals"}}, "on 500 fractal images"),
        ({"fidelity": FIDELITY | {"accuracy_metric": "mAP"}}, "mAP 91.60 % 91.00 %"),
        ({"fidelity": FIDELITY | {"task": "detection"}}, "like the original 97.00 % [95.00, 98.00] by top1, on 500"),
        ({"fidelity": FIDELITY | {"agreement": interval(0.97)}}, "same answers 97.00 % on 500"),
        ({"benchmark": BENCHMARK | {"ratio": interval(1.0, 0.9, 1.1) | {"significant": False}}}, "no significant difference"),
        ({"benchmark": BENCHMARK | {"hint": "throughput"}}, "throughput 700.0 / s 2100.0 / s 3.00 times as many"),
        ({"benchmark": BENCHMARK | {"ratio_of_medians": 3.5}}, "; the medians alone: 3.50"),
        ({"constraint": {"met": True, "reason": "It [b]holds[/b]."}}, "constraint met It [b]holds[/b]."),
        ({"constraint": {"met": False, "reason": "x"}}, "NOT MET"),
        ({"constraint": {"met": "unverified", "reason": "x"}}, "unverified"),
    ],
)
def test_lines_of_the_table(change: dict[str, Any], words: str) -> None:
    assert words in printed(**change)


def test_medians_that_agree_are_not_mentioned() -> None:
    assert "medians" not in printed(benchmark=BENCHMARK | {"ratio_of_medians": 3.03})


def test_memory_is_told_where_it_was_measured() -> None:
    side = {"model_bytes": 4_000_000, "process_bytes": 90_000_000}
    text = printed(memory={"original": side, "compressed": {"model_bytes": 1_000_000, "process_bytes": 87_000_000}})
    assert "memory of the model 4.00 MB 1.00 MB 0.25 of the original's" in text


def test_without_fidelity_and_benchmark_the_rest_is_there() -> None:
    assert "size" in printed(fidelity=None, benchmark=None)


def test_warnings_go_beside_the_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = REPORT | {"warnings": ["Beware of [brackets]."], "assumed": "Assumed: x.", "advice": ADVICE}
    (tmp_path / "report.json").write_text(json.dumps(document))
    show_result(read_report(tmp_path / "report.json"))
    out, err = capsys.readouterr()
    assert "times smaller" in out
    for line in (
        "Assumed: x.",
        "Beware of [brackets].",
        "Next    Judge it (--eval PATH).",
        "        Take int8 (--prune 0.7 --int8).",
    ):
        assert line in err
        assert line not in out


# progress


def event(stage: str, done: int = 0, **others: Any) -> dict[str, Any]:
    return {"event": "progress", "stage": stage, "done": done, "total": 10} | others


def test_where_nobody_looks_on_there_is_a_line_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with StageProgress(quiet=False) as progress:
        for happened in (
            event("import"),
            event("compress", 1),
            {"event": "layer", "name": "x"},
            event("compress", 2),
            event("export"),
        ):
            progress.show(happened)
    out, err = capsys.readouterr()
    assert (out, err.split()) == ("", ["import", "compress", "export"])


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with StageProgress(quiet=True) as progress:
        progress.show(event("import"))
        progress.show(event("import", 10, layer="[red]x", total=0))
    assert capsys.readouterr() == ("", "")


def test_a_failure_passes_through() -> None:
    with pytest.raises(KeyError), StageProgress(quiet=True) as progress:
        progress.show({"event": "progress"})
