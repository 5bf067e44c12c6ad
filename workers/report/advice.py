"""What to try after a result: at most three suggestions, those that would tell or gain most first."""

from collections.abc import Iterator

from workers.report.schema import Report

MOST = 3
NOTEWORTHY = 0.01  # a drop, as a share, that is worth another recipe


def what_next(report: Report) -> tuple[str, ...]:
    """Sentences, each with the option of the command line that does it."""
    return (*_about_samples(report), *_about_losses(report), *_about_goals(report))[:MOST]


def _about_samples(report: Report) -> Iterator[str]:
    if report.fidelity is None or report.fidelity.source != "dataset":
        yield "Measure it on held-out samples of your own; with labels, the report gives accuracy (--eval FOLDER)."
    if report.calibration.source != "dataset" and report.recipe.goal != "data_free":
        yield "Calibrate on about 300 samples of your own; they need no labels (--data FOLDER)."


def _about_losses(report: Report) -> Iterator[str]:
    drop = report.fidelity.drop if report.fidelity else None
    lost = drop is not None and drop.value > NOTEWORTHY and (drop.low or 0) > 0
    missed = report.constraint is not None and report.constraint.met is False
    if (lost and report.constraint is None) or (missed and report.exploration is None):
        yield "Say how much may be lost, and let Fractune look for the model that keeps it (--goal limit --max-drop 0.01)."
    if (lost or missed) and report.next_run is not None:
        yield "Leave alone the layers that lose most: `next_run` of report.json has an ignored_scope for the recipe."


def _about_goals(report: Report) -> Iterator[str]:
    goal, speed = report.recipe.goal, report.benchmark
    if goal in ("size", "data_free"):
        yield "For faster inference, quantise activations as well (--goal speed)."
    elif goal == "speed" and speed is not None and not speed.ratio.significant:
        yield "It is no faster on this machine: for smaller files alone, take 4 bits (--goal size)."
    elif goal == "speed":
        yield "For files half the size again, at the speed of the original, take 4 bits (--goal size)."
