"""What an interval of times allows to say, and how a model is compiled for it."""

import numpy as np
import pytest

from workers.allocation.error_curves import LEVELS, SMALLEST, ErrorCurve
from workers.evaluation.benchmark import compile_config, describe_ratio
from workers.recipe import BenchmarkSettings
from workers.report import Ratio
from workers.report.schema import OperationHarm
from workers.run.int8_search import blame


def ratio(value: float, low: float | None = None, high: float | None = None) -> Ratio:
    apart = low is not None and high is not None and not low <= 1 <= high
    return Ratio(value=value, low=low, high=high, significant=apart)


NONE = ratio(1.0, 0.9, 1.1)


@pytest.mark.parametrize(
    ("measured", "processor", "words"),
    [
        (ratio(2.0, 1.9, 2.1), NONE, "runs 2.00 times as fast as the original (95 % interval 1.90 to 2.10)."),
        (ratio(0.5, 0.4, 0.6), NONE, "runs 0.50 times as fast"),
        (NONE, NONE, "No significant difference in speed (ratio 1.00, 95 % interval 0.90 to 1.10)."),
        (NONE, ratio(1.5, 1.4, 1.6), "In processor time the ratio is 1.50 (1.40 to 1.60)."),
        (ratio(0.8), NONE, "Too few sessions to tell: the compressed model took 1.25 times the original's time."),
        (ratio(2.0, None, 2.1), NONE, "Too few sessions"),
    ],
)
def test_a_sentence_says_no_more_than_the_interval(measured: Ratio, processor: Ratio, words: str) -> None:
    assert words in describe_ratio(measured, processor)


def test_throughput_is_told_in_samples() -> None:
    assert "does 2.00 times as many samples a second" in describe_ratio(ratio(2.0, 1.9, 2.1), NONE, "throughput")
    assert "No significant difference" in describe_ratio(NONE, NONE, "throughput")


def test_settings_reach_the_compiler_and_absent_ones_do_not() -> None:
    plain = compile_config(BenchmarkSettings())
    assert (plain["PERFORMANCE_HINT"], plain["INFERENCE_NUM_THREADS"]) == ("LATENCY", 1)
    assert not {"NUM_STREAMS", "INFERENCE_PRECISION_HINT"} & plain.keys()
    told = compile_config(BenchmarkSettings(hint="throughput", nstreams=2, nthreads=4, infer_precision="f32"))
    assert (told["PERFORMANCE_HINT"], told["NUM_STREAMS"], told["INFERENCE_NUM_THREADS"]) == ("THROUGHPUT", 2, 4)
    assert told["INFERENCE_PRECISION_HINT"] == "f32"


def test_the_worst_operations_are_blamed() -> None:
    order = tuple(
        OperationHarm(name=name, harm=harm, gain=1.0) for name, harm in (("a", 0.1), ("b", 0.5), ("c", 0.01), ("d", 0.2))
    )
    assert blame(order) == "In int8 these operations harm most: b (0.5), d (0.2), a (0.1)."


# how an error rises


def curve(errors: list[float]) -> ErrorCurve:
    return ErrorCurve(layer=None, errors=np.array(errors), weight=np.zeros((1, 1, 1)), error=0.0)  # type: ignore[arg-type]


def test_an_error_is_what_was_measured_at_the_levels_and_between_them_in_its_logarithm() -> None:
    measured = [0.001, 0.004, 0.016, 0.05, 0.1, 0.3, 0.8]
    known = curve(measured)
    np.testing.assert_allclose(known.errors_at(np.array(LEVELS)), measured)
    middle = (LEVELS[0] + LEVELS[1]) / 2
    assert known.errors_at(np.array([middle]))[0] == pytest.approx(np.sqrt(0.001 * 0.004))


def test_nothing_pruned_is_no_error_and_it_never_falls() -> None:
    known = curve([0.001, 0.004, 0.016, 0.05, 0.1, 0.3, 0.8])
    errors = known.errors_at(np.linspace(0, 1, 101))
    assert errors[0] == 0
    assert (np.diff(errors) >= 0).all()
    assert errors[-1] == pytest.approx(0.8)


def test_a_layer_without_any_error_is_still_positive() -> None:
    errors = curve([0.0] * len(LEVELS)).errors_at(np.array([0.0, 0.1, 0.9]))
    np.testing.assert_allclose(errors, [0, SMALLEST, SMALLEST])
