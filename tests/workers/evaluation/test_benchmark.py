"""The benchmark, on models so small that it takes a moment."""

import time
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops
from pydantic import ValidationError

from tests.workers.ir.tiny import cnn, save
from workers.calibration import from_fractals
from workers.errors import InvalidRecipe
from workers.evaluation.benchmark import FEWEST_SESSIONS, Side, _enough, _ratio, compare_speed, describe_ratio
from workers.ir.reading.importer import load
from workers.recipe import BenchmarkSettings
from workers.recipe.recipe import Preprocessing
from workers.report import Benchmark, Ratio
from workers.run.candidates import timed_inputs

INPUTS = {"x": np.ones((1, 8, 16, 16), np.float32)}
QUICK = BenchmarkSettings(niter=10, pc=False)


def chain(length: int, batch: int = 1) -> ov.Model:
    """`length` convolutions one after another."""
    x = ops.parameter((batch, 8, 16, 16), np.float32, name="x")
    x.output(0).set_names({"x"})
    node: ov.Node = x
    for index in range(length):
        weight = np.full((8, 8, 3, 3), 0.01 * (index + 1), np.float32)
        convolution = ops.convolution(node, ops.constant(weight), [1, 1], [1, 1], [1, 1], [1, 1], name=f"layer{index}")
        node = ops.relu(convolution)
    return ov.Model([ops.result(node)], [x])


def run(original: ov.Model, compressed: ov.Model, settings: BenchmarkSettings = QUICK) -> Benchmark:
    return compare_speed(original, compressed, INPUTS, settings, np.random.default_rng(0))


def test_a_model_with_much_less_to_do_is_faster() -> None:
    benchmark = run(chain(60), chain(1), BenchmarkSettings(niter=20, pc=False))
    assert benchmark.cpu_ratio.significant
    assert benchmark.cpu_ratio.value > 1.5


def test_raw_times_of_every_round_are_kept() -> None:
    benchmark = run(chain(2), chain(2))
    assert (benchmark.rounds, benchmark.sessions) == (10, 10)
    for side in (benchmark.original, benchmark.compressed):
        assert len(side.wall_ms) == len(side.cpu_ms) == 10
        assert side.latency_median_ms == pytest.approx(np.median(side.wall_ms), abs=1e-4)
        assert side.latency_min_ms <= side.latency_median_ms <= side.latency_percentiles_ms[90] <= side.latency_max_ms
        assert side.throughput_fps == pytest.approx(1e3 / side.latency_median_ms, rel=1e-2)


def test_the_stated_precision_is_the_one_that_ran() -> None:
    side = run(chain(2), chain(2), BenchmarkSettings(niter=10, infer_precision="f32", pc=False)).original
    assert side.infer_precision == "f32"
    assert side.execution_mode == "PERFORMANCE"
    assert list(side.kernel_precisions) == ["f32"]


def test_throughput_counts_every_sample_of_a_batch() -> None:
    model, settings = chain(3, batch=4), BenchmarkSettings(niter=10, hint="throughput", nthreads=2, pc=False)
    inputs = {"x": np.ones((4, 8, 16, 16), np.float32)}
    benchmark = compare_speed(model, model, inputs, settings, np.random.default_rng(0), batch_size=4)
    assert benchmark.original.nireq >= 1
    assert benchmark.original.throughput_fps == pytest.approx(4e3 / np.median(benchmark.original.wall_ms), rel=1e-3)


def test_streams_and_requests_are_those_asked_for_and_the_verdict_counts_samples() -> None:
    settings = BenchmarkSettings(niter=10, hint="throughput", nthreads=2, nstreams=2, nireq=3, pc=False)
    benchmark = run(chain(12), chain(1), settings)
    assert (benchmark.original.nstreams, benchmark.original.nireq) == (2, 3)
    assert benchmark.shapes == {"x": INPUTS["x"].shape}
    if benchmark.ratio.significant:
        assert "as many samples a second" in benchmark.verdict


def test_a_latency_is_of_one_inference_at_a_time() -> None:
    with pytest.raises(ValidationError, match="nireq: a latency is that of one inference at a time"):
        BenchmarkSettings(nireq=4)


def test_the_ratio_of_the_medians_is_told_beside_the_median_of_the_ratios() -> None:
    benchmark = run(chain(2), chain(1), BenchmarkSettings(niter=10, pc=False))
    before, after = np.array(benchmark.original.wall_ms), np.array(benchmark.compressed.wall_ms)
    assert benchmark.ratio.value == pytest.approx(np.median(before / after), rel=1e-3)
    assert benchmark.ratio_of_medians == pytest.approx(np.median(before) / np.median(after), rel=1e-3)


def test_a_batch_repeats_the_samples_and_shapes_are_those_of_named_inputs(tmp_path: Path) -> None:
    samples = from_fractals(load(save(cnn(), tmp_path / "cnn.onnx")), 2, 0, Preprocessing())
    (name,) = samples.batch(0, 1)
    batch = timed_inputs(samples, BenchmarkSettings(batch=3))[name]
    np.testing.assert_array_equal(batch[[0, 1]], samples.batch(0, 2)[name])
    np.testing.assert_array_equal(batch[2], batch[0])
    assert timed_inputs(samples, BenchmarkSettings(shapes={name: (1, 3, 20, 20)}))[name].shape == (1, 3, 20, 20)
    with pytest.raises(InvalidRecipe, match="no input 'other'"):
        timed_inputs(samples, BenchmarkSettings(shapes={"other": (1, 3)}))


def test_the_time_limit_ends_the_rounds() -> None:
    benchmark = run(chain(2), chain(2), BenchmarkSettings(niter=10_000, time=0.3, pc=False))
    assert 1 <= benchmark.rounds < 10_000


def test_one_session_gives_no_interval() -> None:
    benchmark = run(chain(2), chain(2), BenchmarkSettings(niter=100, time=1e-6, pc=False))
    assert benchmark.sessions == 1
    assert (benchmark.ratio.low, benchmark.ratio.significant) == (None, False)
    assert "Too few" in benchmark.verdict


def test_a_model_of_open_batch_is_timed_at_the_given_batch() -> None:
    benchmark = run(chain(2, batch=-1), chain(2, batch=-1))
    assert benchmark.batch_size == 1


def test_every_operation_is_timed_in_both_models() -> None:
    rows = run(chain(2), chain(3), BenchmarkSettings(niter=10)).profile
    named = {row.name: row for row in rows}
    assert {"layer0", "layer1", "layer2"} <= set(named)
    assert named["layer0"].original_ms is not None
    assert named["layer0"].compressed_ms is not None
    assert named["layer2"].original_ms is None
    assert named["layer0"].kernel


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    settings, rng = BenchmarkSettings(niter=10, pc=False), np.random.default_rng(0)
    compare_speed(chain(1), chain(1), INPUTS, settings, rng, progress=lambda *step: told.append(step))
    assert told[-1] == (10, 10)


def times(sessions: int, drift: NDArray[np.float64]) -> list[list[float]]:
    """Rounds whose differences come from the session alone."""
    return [[1.0 + float(drift[index])] * 5 for index in range(sessions)]


def test_sessions_and_not_rounds_are_the_unit_of_resampling() -> None:
    luck = np.random.default_rng(0).normal(0, 0.05, 10)
    ratio = _ratio(times(10, luck), times(10, np.zeros(10)), np.random.default_rng(0))
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.high - ratio.low > 0.05  # as wide as ten values allow, not fifty


@pytest.mark.parametrize(
    ("wall", "cpu", "sentence"),
    [
        ((3.5, 3.4, 3.6), (3.5, 3.4, 3.6), "3.50 times as fast as the original (95 % interval 3.40 to 3.60)"),
        ((1.01, 0.98, 1.04), (1.0, 0.99, 1.01), "No significant difference in speed (ratio 1.01"),
        ((1.1, 0.9, 1.2), (1.2, 1.1, 1.3), "In processor time the ratio is 1.20"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(
    wall: tuple[float, float, float], cpu: tuple[float, float, float], sentence: str
) -> None:
    assert sentence in describe_ratio(of(*wall), of(*cpu))


def of(value: float, low: float, high: float) -> Ratio:
    return Ratio(value=value, low=low, high=high, significant=not low <= 1 <= high)


def test_a_benchmark_with_an_allowance_ends_once_it_is_spent_and_tells_an_interval_all_the_same() -> None:
    rng = np.random.default_rng(0)
    benchmark = compare_speed(chain(2), chain(2), INPUTS, BenchmarkSettings(niter=100, pc=False), rng, allowance=0.0)
    assert benchmark.sessions == FEWEST_SESSIONS
    assert benchmark.ratio.low is not None


def test_a_narrow_interval_is_enough() -> None:
    alike, drifting = Side(wall=times(6, np.zeros(6))), Side(wall=times(6, np.linspace(0, 1, 6)))
    assert _enough(time.process_time() + 100, [alike, alike])
    assert not _enough(time.process_time() + 100, [alike, drifting])
    assert not _enough(0.0, [Side(wall=times(5, np.zeros(5)))] * 2)  # too few to tell
