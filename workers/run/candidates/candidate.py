"""A model that a recipe made, and what is known of it."""

from dataclasses import dataclass

import numpy as np
import openvino as ov

from workers.evaluation.model_comparison import Comparison
from workers.ir.graph.states import expose_states
from workers.ir.writing.exporter import Exported
from workers.recipe import Recipe
from workers.report import Benchmark
from workers.run.compression import Compressed
from workers.statistics.constraint import Drop, Verdict


@dataclass(slots=True)
class Candidate:
    """A model that a recipe made, and what is known of it so far."""

    recipe: Recipe
    setting: float  # of the knob that a search varies
    found: Compressed | None  # what compression came to; None for one that an earlier attempt has made, until it is asked for
    sparsity: float  # share of the original weights of compressed layers that are exactly zero or were removed
    exported: Exported
    seconds: float
    estimate: Comparison | None = None  # on the samples that select
    expected: Drop | None = None  # in the constraint's metric, on the same samples
    comparison: Comparison | None = None  # on the samples that judge
    on_fractals: Comparison | None = None  # on held-out fractals, for comparison with the same on data
    verdict: Verdict | None = None
    benchmark: Benchmark | None = None
    warnings: tuple[str, ...] = ()  # of what it does not keep of the original's interface
    doubts: tuple[str, ...] = ()  # whether the runtime answers a sample alike however it is given

    @property
    def compressed(self) -> Compressed:
        """What compression came to."""
        assert self.found is not None  # an Explorer sees to it for all that are looked into
        return self.found

    @property
    def seen(self) -> Comparison:
        """On the samples that select; on those that judge for one that was judged at once."""
        seen = self.estimate or self.comparison
        assert seen is not None  # made by an Explorer
        return seen

    def read(self) -> ov.Model:
        """The model as it was written; its state is given and returned, so that it can be compared sample by sample."""
        return expose_states(ov.Core().read_model(self.exported.xml))[0]


def sparsity_of(compressed: Compressed) -> float:
    """The share of the original weights of compressed layers that are exactly zero or were removed."""
    results = compressed.results
    left = sum(int(np.count_nonzero(result.weight)) for result in results)
    return 1 - left / max(sum(result.original.size for result in results), 1) if results else 0.0
