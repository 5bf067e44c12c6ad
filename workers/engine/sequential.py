"""Layer after layer: each is solved on the inputs that the layers before it give in the compressed model.

The original model runs some phases ahead of the compressed one, and leaves what its layers aim at. A phase costs one pass of
its own operations over the calibration samples in each model, so that the whole compression costs two forward passes and the
solves.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain

import openvino as ov

from workers.engine.cache import NO_CACHE, LayerCache
from workers.engine.capture import Site, StatisticsCollector, find_sites, target_bytes
from workers.engine.collect import StatisticsPass
from workers.engine.layer import LayerResult, LayerTask
from workers.engine.moments import ImpliedOutputs, OutputMoments
from workers.engine.sample_schedule import TOGETHER, BatchStream, SampleSource, schedule, stride
from workers.engine.solver import EngineOptions, LayerSolver, LayerStatistics, Position
from workers.ir.graph.edit import ensure_bias
from workers.ir.graph.frontier import Compilations, Frontier, advance_frontier, enter_frontier, run_phase
from workers.ir.graph.layers import Layer
from workers.ir.graph.segments import Cut, cut
from workers.threads import Threads

TARGET_BYTES = 2**26  # that the targets of the phases may take through which the original runs at once


def compress_sequentially(
    model: ov.Model,
    batched: ov.Model,
    tasks: Sequence[LayerTask],
    samples: SampleSource,
    options: EngineOptions,
    cache: LayerCache = NO_CACHE,
    on_layer: Callable[[LayerResult], None] = lambda result: None,
) -> list[LayerResult]:
    """Compress the layers of the tasks in `model`, in place, and return their results in the order of their solution.

    `batched` is the same model, with the same names, for `options.batch_size` samples at once; it is consumed. What `cache` can
    restore is not solved again; both models pass it all the same, so that an interruption changes no bit of what follows.

    A layer of several operations is solved where the first of them runs: on what this gets in the compressed model, and on what
    the others get in the original. Their biases follow once it is known what they get.
    """
    layers = [task.layer for task in tasks]
    solver = LayerSolver(model, layers, options)
    twins = TwinModels(batched, tasks, samples, options)
    restored = {task.layer.name: found for task in tasks if (found := cache.restore(task))}
    left = {phase for layer in layers if layer.name not in restored for phase in twins.phases_of(layer)}
    last = max(left, default=0)
    twins.look_ahead([task for task in tasks if task.layer.name not in restored])
    results: dict[str, LayerResult] = {}
    for phase in twins.phases():
        if phase <= last:
            twins.enter(phase)
        if phase in left:
            twins.collect(phase)
        for task in twins.tasks_of(phase):
            known, result = results.get(task.layer.name), restored.get(task.layer.name)
            if result is None:
                seen, position = twins.seen(task.layer), Position(phase, len(results), len(tasks))
                result = solver.judged(known, seen.outputs) if known else solver.solve(task, seen, position)
                if phase == twins.phases_of(task.layer)[-1]:
                    cache.save(result)
            solver.write(result, *twins.ahead(phase))
            results[task.layer.name] = result
            if known is None:
                on_layer(result)
        if phase < last:
            twins.advance(phase)
    return list(results.values())


class TwinModels:
    """The original and the compressed model, cut where layers write.

    The frontier of the compressed one moves phase by phase. The original's moves several phases at once, as many as their
    targets fit into TARGET_BYTES: nothing changes in it, and what runs as one is compiled once and keeps its tensors to itself.
    """

    def __init__(self, batched: ov.Model, tasks: Sequence[LayerTask], samples: SampleSource, options: EngineOptions) -> None:
        sites = find_sites(batched, tasks, ensure_bias(batched, [task.layer for task in tasks]))
        nodes = [site.node for site in sites]
        self._models = batched, batched.clone()  # whole: the original and the compressed one
        self._compressed = cut(batched.clone(), nodes)
        self._stream = BatchStream(samples, options.batch_size)
        self._options, self._threads = options, Threads(options.threads)
        self._phases = {task.layer.name: sorted({self._compressed.phases[node] for node in task.layer.nodes}) for task in tasks}
        self._compilations = Compilations(options.threads)
        self._batches = schedule(self._compressed.held, self._stream.length)
        self._tasks: dict[int, list[LayerTask]] = {phase: [] for phase in self.phases()}
        for task in tasks:
            for phase in self.phases_of(task.layer):
                self._tasks[phase].append(task)
        self._sites: dict[int, list[Site]] = {phase: [] for phase in self.phases()}
        for site in sites:
            self._sites[self._compressed.phases[site.node]].append(self._beside(site))
        sizes = [sum(map(target_bytes, here)) for here in self._sites.values()]
        self._strides = stride(sizes, TARGET_BYTES, TOGETHER, self._batches)
        exposed = [key for site in chain(*self._sites.values()) for key in (site.source, site.skip) if key is not None]
        self._original = cut(batched.clone(), nodes, exposed, self._strides.__getitem__)
        self._dense: Frontier = []
        self._sparse: Frontier = []
        self._collectors: dict[int, StatisticsCollector] = {}  # of the phases that the original has run
        self._shared: dict[str, dict[str, OutputMoments | ImpliedOutputs]] = {}  # of layers that run in several phases

    def phases(self) -> range:
        """All phases, from 1."""
        return range(1, len(self._batches) + 1)

    def phases_of(self, layer: Layer) -> list[int]:
        """The phases in which operations of a layer run; it is solved in the first."""
        return self._phases[layer.name]

    def tasks_of(self, phase: int) -> list[LayerTask]:
        """The tasks whose layers run in a phase, in their order."""
        return self._tasks[phase]

    def look_ahead(self, tasks: Sequence[LayerTask]) -> None:
        """Take the statistics of those operations, in the original, that run after their layers have been solved."""
        phases, later = self._compressed.phases, []
        for task in tasks:
            after = [node for node in task.layer.nodes if phases[node] > self.phases_of(task.layer)[0]]
            if after:
                later.append(replace(task, layer=task.layer.used_by(after)))
        if later:
            ahead = StatisticsPass(self._models[0].clone(), later, self._stream.source, self._options)
            self._shared = {layer.name: dict(seen.outputs) for layer, seen in ahead.collect()}

    def ahead(self, phase: int) -> list[ov.Model]:
        """The compressed model, whole and in the segments that `phase` and those after it run."""
        return [self._models[1], *(segment.model for segment in self._compressed.segments[phase:])]

    def collect(self, phase: int) -> None:
        """Take the statistics of the layers that a phase solves."""
        collector = self._collectors[phase]
        for sparse in self._sparse:
            collector.add(sparse)
        self._outputs, self._samples = collector.outputs(), self._stream.samples(self._batches[phase - 1])
        for site in self._sites[phase]:
            if site.layer.name in self._shared:
                self._shared[site.layer.name][site.node] = self._outputs[site.node]

    def seen(self, layer: Layer) -> LayerStatistics:
        """The statistics of a layer of the phase that was collected last; where operations run later, as in the original."""
        known = self._shared.get(layer.name, self._outputs)
        return LayerStatistics({node: known[node] for node in layer.nodes}, self._samples)

    def advance(self, phase: int) -> None:
        """Run the compressed model through a phase, with the layers that are written into it."""
        self._collectors.pop(phase, None)
        run_phase(self._compressed, phase, self._sparse, self._compilations)

    def enter(self, phase: int) -> None:
        """Bring both frontiers before `phase` to the batches that take part in it, and the original through it."""
        original, compressed = self._models
        batches, number = self._batches[phase - 1], self._strides[phase]
        fresh = number != self._strides[phase - 1]  # no phase of the stride has been entered
        if fresh:
            self._enter(self._dense, batches, original, self._original, number)
        if phase == 1:
            self._sparse += map(dict, self._dense)  # no layer has run yet
        self._enter(self._sparse, batches, compressed, self._compressed, phase)
        if fresh:
            self._run(number)

    def _enter(self, frontier: Frontier, batches: int, model: ov.Model, parts: Cut, phase: int) -> None:
        """Bring a frontier before a phase of `parts` to so many batches."""
        del frontier[batches:]
        if len(frontier) < batches:
            fresh = self._stream.batches(len(frontier), batches)
            frontier += enter_frontier(model, parts, phase, fresh, self._compilations)

    def _run(self, number: int) -> None:
        """Run the original through the phases of a stride, and draw the rows of their layers."""
        phases = [phase for phase in self.phases() if self._strides[phase] == number]
        for phase in phases:
            here, batches = self._sites[phase], self._batches[phase - 1]
            self._collectors[phase] = StatisticsCollector(here, batches, self._options.seed, phase, threads=self._threads)
        for batch, seen in enumerate(advance_frontier(self._original, number, self._dense, self._compilations)):
            for phase in phases:
                self._collectors[phase].draw(seen, self._stream.share(batch))

    def _beside(self, site: Site) -> Site:
        """The site, without a skip that the compressed model does not know before the site's phase."""
        parts, key = self._compressed, site.skip
        known = key is not None and parts.born.get(key, 0) < parts.phases[site.node] <= parts.last_use.get(key, 0)
        return site if known else replace(site, skip=None)
