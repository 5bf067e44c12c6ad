"""Original and compressed side by side: interleaved in one process, on pinned threads, in steady state, raw times kept.

Two compilations of one and the same model differ by a few per cent for as long as they live, by where their memory happens to
lie. So both models get kernels and memory anew in every session, rounds are spread over sessions, and sessions are what is
resampled.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from workers.evaluation.kernels import precisions, profile
from workers.machine import fingerprint
from workers.recipe import BenchmarkSettings
from workers.report import Benchmark, Ratio, SideBenchmark, SingleBenchmark
from workers.statistics.intervals import Values, bootstrap

SESSIONS = 20
FEWEST_SESSIONS = 6  # of a frugal benchmark: fewer tell no useful interval
NARROW = 0.02  # on both sides of the ratio, of it: an interval that a frugal benchmark is content with
WARM_UP_ROUNDS = 2
WAVES = 4  # inferences per request in a round of the throughput hint
PERCENTILES = (90, 95, 99)
BUSY = "The machine was busy with other work: wall-clock times are inflated, processor times less so."

Inputs = Mapping[str, NDArray[Any]]
Enough = Callable[[Sequence["Side"]], bool]  # asked after every session


class Running:
    """A compiled model with its inputs set, ready to run."""

    def __init__(self, compiled: ov.CompiledModel, inputs: Inputs, requests: int) -> None:
        self.compiled = compiled
        self.queue = ov.AsyncInferQueue(self.compiled, requests)
        self.requests = list(self.queue)
        for request in self.requests:
            for name, value in inputs.items():
                request.set_tensor(name, ov.Tensor(value.copy()))

    def infer(self, waves: int) -> None:
        """Run `waves` inferences per request; a single request runs synchronously."""
        if len(self.requests) == 1:
            for _ in range(waves):
                self.requests[0].infer(share_outputs=True)
            return
        for _ in range(waves * len(self.requests)):
            self.queue.start_async()
        self.queue.wait_all()


class Compilation:
    """A model compiled once, from which every session makes kernels and memory of its own.

    Rewriting the graph takes most of a compilation, and comes to the same each time; it is done once.
    """

    def __init__(self, model: ov.Model, config: Mapping[str, Any], requests: int | None = None) -> None:
        self._requests = requests or 0  # as many as suit
        start = time.perf_counter()
        compiled = ov.Core().compile_model(model, "CPU", dict(config))
        self.milliseconds = 1e3 * (time.perf_counter() - start)
        self._config = dict(config)
        self._rewritten = compiled.export_model().getvalue()

    def running(self, inputs: Inputs) -> Running:
        """The model anew, ready to run."""
        return Running(ov.Core().import_model(self._rewritten, "CPU", self._config), inputs, self._requests)


@dataclass(frozen=True, slots=True)
class Side:
    """What was measured on one of the two models, in milliseconds per inference."""

    wall: list[list[float]] = field(default_factory=list)  # by session and round
    cpu: list[list[float]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)  # of single inferences

    def begin_session(self) -> None:
        """Open a list for the rounds to come."""
        self.wall.append([])
        self.cpu.append([])

    def measure(self, running: Running, waves: int) -> None:
        """Time `waves` inferences per request, after an untimed one that brings the model back into the caches."""
        running.infer(1)
        wall, cpu = time.perf_counter(), time.process_time()
        running.infer(waves)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        inferences = waves * len(running.requests)
        self.wall[-1].append(1e3 * wall / inferences)
        self.cpu[-1].append(1e3 * cpu / inferences)
        self.latencies.extend([1e3 * wall] if inferences == 1 else (request.latency for request in running.requests))


def compare_speed(
    original: ov.Model,
    compressed: ov.Model,
    inputs: Inputs,
    settings: BenchmarkSettings,
    rng: np.random.Generator,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    allowance: float | None = None,
) -> Benchmark:
    """Time both models on one batch of `inputs`, an array by input name; `rng` draws the orders and resamples.

    No round starts after `settings.time` seconds: slow models get fewer rounds and sessions, and wider intervals. With an
    `allowance`, in CPU-seconds, no session beyond FEWEST_SESSIONS starts once it is spent, or the interval is NARROW.
    """
    machine = fingerprint()
    models = [_of_shapes(model, inputs) for model in (original, compressed)]
    enough = partial(_enough, time.process_time() + allowance) if allowance is not None else _never
    sides, described = _timed(models, inputs, settings, rng, batch_size, progress, enough)
    before, after = sides
    ratio, cpu_ratio = _ratio(before.wall, after.wall, rng), _ratio(before.cpu, after.cpu, rng)
    return Benchmark(
        hint=settings.hint,
        nthreads=settings.nthreads,
        batch_size=batch_size,
        rounds=len(described[0].wall_ms),
        sessions=len(sides[0].wall),
        ratio=ratio,
        cpu_ratio=cpu_ratio,
        ratio_of_medians=float(np.divide(*(np.median(list(chain(*side.wall))) for side in sides))),
        shapes={name: value.shape for name, value in inputs.items()},
        verdict=describe_ratio(ratio, cpu_ratio, settings.hint),
        original=described[0],
        compressed=described[1],
        profile=profile(models, inputs, compile_config(settings)) if settings.pc else (),
        notes=_notes(machine.busy, described),
    )


def measure_speed(
    model: ov.Model,
    inputs: Inputs,
    settings: BenchmarkSettings,
    rng: np.random.Generator,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SingleBenchmark:
    """Time one model as `compare_speed` times two; the interval is that of the median, sessions resampled."""
    machine = fingerprint()
    (side,), (described,) = _timed([_of_shapes(model, inputs)], inputs, settings, rng, batch_size, progress, _never)
    rounds = _by_session(side.wall)
    return SingleBenchmark(
        hint=settings.hint,
        nthreads=settings.nthreads,
        batch_size=batch_size,
        rounds=len(described.wall_ms),
        sessions=len(side.wall),
        shapes={name: value.shape for name, value in inputs.items()},
        model=described,
        median_ms=bootstrap(rounds, _median, rng),
        notes=(BUSY,) if machine.busy else (),
    )


def _timed(
    models: Sequence[ov.Model],
    inputs: Inputs,
    settings: BenchmarkSettings,
    rng: np.random.Generator,
    batch_size: int,
    progress: Callable[[int, int], None],
    enough: Enough,
) -> tuple[list[Side], list[SideBenchmark]]:
    """The raw times of each model, interleaved with those of the others, and their description."""
    config, count = compile_config(settings), len(models)
    compiled = [Compilation(model, config, settings.nireq) for model in models]
    sides, running, done = [Side() for _ in models], dict[int, Running](), 0
    for rounds in _sessions(settings):
        running.clear()  # frees the former compilations first
        running |= {which: compiled[which].running(inputs) for which in rng.permutation(count)}
        for _ in _measured(rounds, sides, running, 1 if settings.hint == "latency" else WAVES, rng):
            done += 1
            progress(done, settings.niter)
        if enough(sides):
            progress(settings.niter, settings.niter)
            break
    described = [_describe(side, running[which], compiled[which].milliseconds, batch_size) for which, side in enumerate(sides)]
    running.clear()
    return sides, described


def _never(sides: Sequence[Side]) -> bool:
    """All rounds are wanted."""
    return False


def _enough(until: float, sides: Sequence[Side]) -> bool:
    """Whether the sessions so far will do: the processor time is spent, or they tell the ratio of both sides well."""
    before, after = (side.wall for side in sides)
    if len(before) < FEWEST_SESSIONS:
        return False
    ratio = _ratio(before, after, np.random.default_rng(0))  # the figures have an order of their own
    assert ratio.low is not None
    assert ratio.high is not None
    return time.process_time() > until or max(ratio.high - ratio.value, ratio.value - ratio.low) < NARROW * ratio.value


def operation_savings(
    original: ov.Model, compressed: ov.Model, inputs: Inputs, settings: BenchmarkSettings
) -> dict[str, float]:
    """Milliseconds by which an operation is faster than in the original, by name, where both models have it."""
    models = [_of_shapes(model, inputs) for model in (original, compressed)]
    rows = profile(models, inputs, compile_config(settings))
    pairs = {row.name: (row.original_ms, row.compressed_ms) for row in rows}
    return {name: before - after for name, (before, after) in pairs.items() if before is not None and after is not None}


def describe_ratio(ratio: Ratio, cpu_ratio: Ratio, hint: Literal["latency", "throughput"] = "latency") -> str:
    """What the interval allows to say, in a sentence."""
    if ratio.low is None or ratio.high is None:
        return f"Too few sessions to tell: the compressed model took {1 / ratio.value:.2f} times the original's time."
    interval = f"95 % interval {ratio.low:.2f} to {ratio.high:.2f}"
    if ratio.significant and hint == "throughput":
        return f"The compressed model does {ratio.value:.2f} times as many samples a second as the original ({interval})."
    if ratio.significant:
        return f"The compressed model runs {ratio.value:.2f} times as fast as the original ({interval})."
    sentence = f"No significant difference in speed (ratio {ratio.value:.2f}, {interval})."
    if cpu_ratio.significant:
        sentence += f" In processor time the ratio is {cpu_ratio.value:.2f} ({cpu_ratio.low:.2f} to {cpu_ratio.high:.2f})."
    return sentence


def _sessions(settings: BenchmarkSettings) -> Iterator[Iterator[int]]:
    """The rounds of every session: as many as are left to it, and as its part of the time allows, but one at least."""
    start = time.perf_counter()
    shares = np.array_split(np.arange(settings.niter), min(SESSIONS, settings.niter))
    for number, share in enumerate(shares):
        if number and time.perf_counter() - start > settings.time:
            return
        yield _until(start + settings.time * (number + 1) / len(shares), len(share))


def _until(end: float, rounds: int) -> Iterator[int]:
    for number in range(rounds):
        if number and time.perf_counter() > end:
            return
        yield number


def _measured(
    rounds: Iterable[int], sides: Sequence[Side], running: Mapping[int, Running], waves: int, rng: np.random.Generator
) -> Iterator[int]:
    """The rounds of a session, each after all models were timed in random order."""
    for side in sides:
        side.begin_session()
    for _ in range(WARM_UP_ROUNDS):
        for which in rng.permutation(len(sides)):
            running[which].infer(1)
    for number in rounds:
        for which in rng.permutation(len(sides)):
            sides[which].measure(running[which], waves)
        yield number


def _of_shapes(model: ov.Model, inputs: Inputs) -> ov.Model:
    """A copy with the inputs' shapes: a model of open shapes runs other, slower code."""
    copy = model.clone()
    copy.reshape({name: list(value.shape) for name, value in inputs.items()})
    return copy


def compile_config(settings: BenchmarkSettings) -> dict[str, Any]:
    config = {
        "PERFORMANCE_HINT": settings.hint.upper(),
        "INFERENCE_NUM_THREADS": settings.nthreads,
        "ENABLE_CPU_PINNING": True,
    }
    config |= {"NUM_STREAMS": settings.nstreams} if settings.nstreams else {}
    return config | ({"INFERENCE_PRECISION_HINT": settings.infer_precision} if settings.infer_precision else {})


def _ratio(original: list[list[float]], compressed: list[list[float]], rng: np.random.Generator) -> Ratio:
    """Median over the rounds of original / compressed; resampled by session."""
    ratios = [np.divide(before, after).tolist() for before, after in zip(original, compressed, strict=True)]
    interval = bootstrap(_by_session(ratios), _median, rng)
    return Ratio(value=interval.value, low=interval.low, high=interval.high, significant=interval.excludes(1.0))


def _by_session(values: Sequence[Sequence[float]]) -> Values:
    """The values of all rounds (sessions, rounds), NaN where a session had fewer."""
    rounds = np.full((len(values), max(map(len, values))), np.nan)
    for row, session in zip(rounds, values, strict=True):
        row[: len(session)] = session
    return rounds


def _median(rounds: Values) -> Values:
    return np.asarray(np.nanmedian(rounds.reshape(len(rounds), -1), axis=1))


def _describe(side: Side, running: Running, compile_ms: float, batch_size: int) -> SideBenchmark:
    compiled, latencies = running.compiled, np.array(side.latencies)
    wall, cpu = (tuple(round(value, 5) for value in chain(*times)) for times in (side.wall, side.cpu))
    percentiles = np.percentile(latencies, PERCENTILES)
    return SideBenchmark(
        latency_median_ms=float(np.median(latencies)),
        latency_average_ms=float(latencies.mean()),
        latency_min_ms=float(latencies.min()),
        latency_max_ms=float(latencies.max()),
        latency_percentiles_ms=dict(zip(PERCENTILES, percentiles.tolist(), strict=True)),
        throughput_fps=batch_size * 1e3 / float(np.median(wall)),
        cpu_median_ms=float(np.median(cpu)),
        compile_ms=compile_ms,
        infer_precision=compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name(),
        execution_mode=compiled.get_property("EXECUTION_MODE_HINT").name,
        nstreams=int(compiled.get_property("NUM_STREAMS")),
        nireq=len(running.requests),
        kernel_precisions=precisions(compiled),
        wall_ms=wall,
        cpu_ms=cpu,
    )


def _notes(busy: bool, sides: list[SideBenchmark]) -> tuple[str, ...]:
    notes = []
    if busy:
        notes.append(BUSY)
    if sides[0].infer_precision != "f32":
        notes.append(f"The original ran in {sides[0].infer_precision}, which OpenVINO picks here; against f32 ratios differ.")
    return tuple(notes)
