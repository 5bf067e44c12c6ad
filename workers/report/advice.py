"""What to try after a result: at most three suggestions, those that would tell or gain most first."""

from collections.abc import Iterator, Mapping
from typing import Any

from workers.recipe.goals import GoalName
from workers.report.schema import Advice, Report

MOST = 3
NOTEWORTHY = 0.01  # a drop, as a share, that is worth another recipe
OF_THE_MODEL = ("preprocessing", "task", "decoder", "check_original", "shapes", "batch", "ignored_scope", "seed")


def what_next(report: Report) -> tuple[Advice, ...]:
    """Suggestions as data: whoever shows them says how they are followed there."""
    return (*_about_samples(report), *_about_losses(report), *_about_goals(report))[:MOST]


def _about_samples(report: Report) -> Iterator[Advice]:
    if report.fidelity is None or report.fidelity.source != "dataset":
        yield Advice(
            action="evaluate",
            sentence="Measure it on held-out samples of your own; with labels, the report gives accuracy.",
        )
    if report.calibration.source != "dataset" and report.recipe.goal != "data_free":
        yield Advice(action="calibrate", sentence="Calibrate on about 300 samples of your own; they need no labels.")


def _about_losses(report: Report) -> Iterator[Advice]:
    drop = report.fidelity.drop if report.fidelity else None
    lost = drop is not None and drop.value > NOTEWORTHY and (drop.low or 0) > 0
    missed = report.constraint is not None and report.constraint.met is False
    if (lost and report.constraint is None) or (missed and report.exploration is None):
        sentence = "Say how much may be lost, and let Fractune look for the model that keeps it."
        yield _with_goal(report, "limit", sentence)
    if (lost or missed) and report.next_run is not None:
        names = report.next_run.ignored_scope["names"]
        layers = "the layer that loses" if len(names) == 1 else f"the {len(names)} layers that lose"
        brief = report.recipe.brief()
        yield Advice(
            action="ignore",
            sentence=f"Leave alone {layers} most.",
            recipe=brief | {"ignored_scope": _joined(brief.get("ignored_scope", {}), report.next_run.ignored_scope)},
        )


def _about_goals(report: Report) -> Iterator[Advice]:
    goal, speed = report.recipe.goal, report.benchmark
    faster = speed is not None and speed.ratio.significant and speed.ratio.value > 1
    if _only_zeros(report) and not faster:
        brief = report.recipe.brief()
        yield Advice(
            action="int8",
            sentence="Zeros make files smaller, not inference faster: for speed, add int8 after them.",
            recipe=brief | {"steps": [*brief["steps"], {"method": "int8"}]},
        )
    elif goal in ("size", "data_free"):
        yield _with_goal(report, "speed", "For faster inference, quantise activations as well.")
    elif goal == "speed" and not faster:
        yield _with_goal(report, "size", "It is no faster on this machine: for smaller files alone, take 4 bits.")
    elif goal == "speed":
        yield _with_goal(report, "size", "For files half the size again, at the speed of the original, take 4 bits.")


def _only_zeros(report: Report) -> bool:
    """Whether weights were set to zero here and there, which no dense kernel gains from, and activations left as they were."""
    steps = report.recipe.steps
    return all(step.expected_sparsity and not step.closes for step in steps) and not any(s.rewrites_graph for s in steps)


def _with_goal(report: Report, goal: GoalName, sentence: str) -> Advice:
    kept = {name: value for name, value in report.recipe.brief().items() if name in OF_THE_MODEL}
    return Advice(action="goal", goal=goal, sentence=sentence, recipe={"goal": goal} | kept)


def _joined(given: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """A scope that leaves alone what either does."""
    both = {name: [*given.get(name, ()), *added.get(name, ())] for name in {**given, **added} if name != "validate"}
    return {**given, **{name: list(dict.fromkeys(values)) for name, values in both.items()}}
