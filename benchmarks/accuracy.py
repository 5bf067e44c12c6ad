"""What a model of the papers' size loses by each recipe, with pictures and with none: whole commands, as a user runs them.

    python benchmarks/accuracy.py --zoo FOLDER
    python benchmarks/accuracy.py --subjects mine.json --rows "pruning 0.5" --sources pictures,fractals
    python benchmarks/accuracy.py --draw

A subject is a model file, the pictures that calibrate it, labelled ones that judge it, and its preprocessing, as the JSON of
`SUBJECTS` has them; files are relative to the zoo. Every run is `fractune optimize` in a process of its own, so that its
CPU-seconds hold everything; with `--images` those that an earlier run has made for the same model are taken from there, and the
run says so. Figures are merged into `benchmarks/results/accuracy.json`; `--draw` writes the table between the
marks of `docs/accuracy.md`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
BEGIN, END = "<!-- measured -->", "<!-- end -->"

PICTURES = {"calibration": "imagenet_sample500_256.zip", "evaluation": "imagenet_val650_227.zip"}
SUBJECTS: dict[str, dict[str, Any]] = {
    "EfficientNet-Lite0": {
        "model": "efficientnet_lite0_imagenet.onnx",
        **PICTURES,
        "preprocessing": {"mean_values": [127, 127, 127], "scale_values": [128, 128, 128], "layout": "NCHW"},
    },
    "squeezenet1.1": {
        "model": "squeezenet1.1_imagenet.onnx",
        **PICTURES,
        "preprocessing": {
            "mean_values": [123.675, 116.28, 103.53],
            "scale_values": [58.395, 57.12, 57.375],
            "layout": "NCHW",
        },
    },
    "mobilenetv2": {
        "model": "mobilenetv2_1.0_imagenet.onnx",
        **PICTURES,
        "preprocessing": {"mean_values": [127.5, 127.5, 127.5], "scale_values": [127.5, 127.5, 127.5], "layout": "NCHW"},
    },
}

MADE = ("none", "few")  # sources whose images are made for the model

Steps = list[dict[str, Any]]
CHANNELS: Steps = [{"method": "layerwise_pruning", "sparsity_level": 0.3, "pattern": "channel", "budget": "operations"}]
TRAINED: dict[str, Steps] = {
    **{f"pruning {level}": [{"method": "layerwise_pruning", "sparsity_level": level}] for level in (0.5, 0.65)},
    "inq 5 bits": [{"method": "inq", "bits": 5}],
    "mlq": [{"method": "mlq"}],
    "ec2t": [{"method": "ec2t"}],
    "channels, 30 % of operations": CHANNELS,
}
FINETUNE: dict[str, dict[str, Any]] = {
    "before finetune": {"steps": 1, "learning_rate": 1e-9},  # solved on the same samples, not trained
    "finetune ten minutes": {"steps": 700},  # of two threads on EfficientNet-Lite0
}
ROWS: dict[str, Steps] = {
    **{f"pruning {level}": [{"method": "layerwise_pruning", "sparsity_level": level}] for level in (0.5, 0.65)},
    **{
        f"pruning {level}, {allocation}": [{"method": "layerwise_pruning", "sparsity_level": level, "allocation": allocation}]
        for level in (0.5, 0.65)
        for allocation in ("uniform", "normalized")
    },
    "pruning 0.65, int8": [{"method": "layerwise_pruning", "sparsity_level": 0.65}, {"method": "int8"}],
    "int8": [{"method": "int8"}],
    **{f"uniform {bits} bits": [{"method": "uniform", "bits": bits}] for bits in (8, 4, 3, 2)},
    **{f"inq {bits} bits": [{"method": "inq", "bits": bits}] for bits in (5, 4, 3)},
    **{f"slq {bits} bits": [{"method": "slq", "bits": bits}] for bits in (4, 3)},
    **{f"mcq sampled, K = {count}": [{"method": "mcq", "samples_per_weight": count}] for count in (4, 2, 1)},
    "mcq calibrated, K = 1": [{"method": "mcq", "samples_per_weight": 1, "rounding": "calibrated"}],
    "mlq": [{"method": "mlq"}],
    "ec2t": [{"method": "ec2t"}],
    "inq 5 bits, two powers": [{"method": "inq", "bits": 5, "powers": 2}],
    "channels, 30 % of operations": CHANNELS,
    "channels, 30 % of operations, normalized": [{**CHANNELS[0], "allocation": "normalized"}],
    **{
        f"{name}, {when}": [*steps, {"method": "finetune", **knobs}]
        for name, steps in TRAINED.items()
        for when, knobs in FINETUNE.items()
    },
}
SOURCES: dict[str, dict[str, Any]] = {
    "pictures": {"source": "dataset", "count": 500},
    "none": {"source": "fractals"},  # as many as a recipe that says nothing takes
    "few": {"source": "fractals", "count": 300},
    "fractals": {"source": "fractals", "count": 300, "inversion_steps": 0},
}


def main(
    zoo: Annotated[Path, typer.Option(help="The folder that the files of the subjects are in.")] = Path(),
    subjects: Annotated[Path | None, typer.Option(help="A JSON file of subjects; those of this program when absent.")] = None,
    rows: Annotated[str, typer.Option(help="Names of rows, separated by `;`; all when empty.")] = "",
    models: Annotated[str, typer.Option(help="Names of subjects, separated by `;`; all when empty.")] = "",
    sources: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(SOURCES)}.")] = "pictures,none",
    seeds: Annotated[str, typer.Option(help="Comma-separated: a run of each.")] = "0",
    images: Annotated[Path | None, typer.Option(help="A folder that keeps images made for a model; none when absent.")] = None,
    draw: Annotated[bool, typer.Option(help="Write the table of all figures into the page, and run nothing.")] = False,
) -> None:
    """Run the chosen recipes on the chosen models, or draw what was measured."""
    if draw:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(recorded())}\n{END}{rest.split(END)[1]}")
        return
    found: dict[str, dict[str, Any]] = json.loads(subjects.read_text()) if subjects else SUBJECTS
    for name in models.split(";") if models else found:
        for row in rows.split(";") if rows else ROWS:
            for source in sources.split(","):
                for seed in map(int, seeds.split(",")):
                    run = {"model": name, "row": row, "source": source, "seed": seed}
                    figures = measure(zoo, found[name], ROWS[row], source, seed, images)
                    typer.echo(json.dumps(run | figures))
                    others = [other for other in recorded() if any(other[key] != run[key] for key in run)]
                    RESULTS.write_text("[\n" + ",\n".join(map(json.dumps, [*others, run | figures])) + "\n]\n")


def recorded() -> list[dict[str, Any]]:
    """All runs so far."""
    return list(json.loads(RESULTS.read_text())) if RESULTS.exists() else []


def measure(zoo: Path, subject: dict[str, Any], steps: Steps, source: str, seed: int, images: Path | None) -> dict[str, Any]:
    """Run the command, and read the report: shares with their intervals in percent, CPU-seconds of all its processes."""
    with tempfile.TemporaryDirectory() as folder:
        kept = images or Path(folder, "data")
        known = set(kept.rglob("*.images"))
        recipe = {
            "steps": steps,
            "calibration": SOURCES[source],
            "preprocessing": subject["preprocessing"],
            "benchmark": None,
            "seed": seed,
        }
        Path(folder, "recipe.json").write_text(json.dumps(recipe))
        command: list[Any] = [Path(sys.executable).with_name("fractune"), "optimize", zoo / subject["model"], "--quiet"]
        command += ["--recipe", Path(folder, "recipe.json"), "--out", Path(folder, "out"), "--threads", 1]
        command += ["--eval", zoo / subject["evaluation"]]
        command += ["--data", zoo / subject["calibration"]] if source == "pictures" else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "FRACTUNE_DATA_DIR": str(kept.resolve())}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(list(map(str, command)), check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = source in MADE and known == set(kept.rglob("*.images"))
        report = json.loads(Path(folder, "out", "report.json").read_text())
    fidelity = report["fidelity"]
    shares = {"accuracy": fidelity["accuracy_compressed"], "drop": fidelity["drop"], "agreement": fidelity["agreement"]}
    return {
        "n": fidelity["n"],
        **{name: [round(100 * share[end], 1) for end in ("value", "low", "high")] for name, share in shares.items()},
        "samples": report["calibration"]["count"],
        "zeros": round(100 * report["sparsity"], 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "images_found": found,
        "commit": commit(),
    }


def commit() -> str:
    """That of the code which runs, `-dirty` where something but the results has changed; empty where there is no repository."""
    name, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--", ":/", ":!/benchmarks/results")
    return f"{name}-dirty" if changed else name


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PAGE.parent, capture_output=True, text=True).stdout.strip()


def table(runs: list[dict[str, Any]]) -> str:
    """All runs in markdown: a line for a model, a recipe and a source, the mean over its seeds."""
    lines = ["| model | recipe | data | top-1 | drop [95 %] | agreement | CPU-s | seeds | code |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["model"], run["row"], run["source"]), []).append(run)
    order = {name: number for number, name in enumerate((*SUBJECTS, *ROWS, *SOURCES))}
    for (model, row, source), same in sorted(groups.items(), key=lambda item: [order.get(part, 99) for part in item[0]]):
        drop = "{:.1f} [{:.1f}, {:.1f}]".format(*(_mean(same, "drop", end) for end in range(3)))
        data = f"none ({same[0]['samples']} made)" if source in MADE else f"{same[0]['samples']} {source}"
        shares = [f"{_mean(same, key, 0):.1f}" for key in ("accuracy", "agreement")]
        code = " ".join(sorted({run.get("commit") or "older" for run in same}))
        cost = f"{sum(run['cpu_s'] for run in same) / len(same):.0f}{'*' * any(run.get('images_found') for run in same)}"
        lines.append(f"| {model} | {row} | {data} | {shares[0]} | {drop} | {shares[1]} | {cost} | {len(same)} | {code} |")
    return "\n".join(lines)


def _mean(runs: list[dict[str, Any]], key: str, end: int) -> float:
    return float(sum(run[key][end] for run in runs) / len(runs))


if __name__ == "__main__":
    typer.run(main)
