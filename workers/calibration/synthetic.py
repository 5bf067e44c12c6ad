"""Values that no data give: for inputs that are not images, of no meaning, and for state, what samples leave behind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.calibration.samples import Numbers, Rows, Samples
from workers.ir.graph.probe import Values, runner
from workers.ir.reading.importer import Imported
from workers.ir.reading.inputs import Input
from workers.randomness import Stream, generator


def synthetic(entry: Input, seed: int, position: int) -> tuple[Rows, str]:
    """Rows for an input, each drawn from its own generator (seed, position of the input, sample), and what they are."""
    low, high = entry.bounds

    def rows(numbers: Numbers) -> NDArray[Any]:
        drawn = [entry.draw(generator(seed, Stream.SYNTHETIC_INPUTS, position, int(number))) for number in numbers]
        return np.stack(drawn).reshape(len(numbers), *entry.item)

    return rows, "standard normal values" if entry.dtype.kind == "f" else f"random integers from {low} to {high}"


INFERENCES = 4  # that may come before one after a reset


def with_states(samples: Samples, model: Imported) -> Samples:
    """Samples that bring the state which they find: after a reset, and after up to INFERENCES - 1 inferences of their own."""
    if model.states is None:
        return samples
    found = _FoundStates(samples.feeds, model)
    feeds = {entry.name: found.rows(place, entry) for place, entry in enumerate(model.state_inputs)}
    note = f"State is reset before every sample; samples find what 0 to {INFERENCES - 1} inferences of theirs have left."
    return replace(samples, feeds={**samples.feeds, **feeds}, notes=(*samples.notes, note))


class _FoundStates:
    """The state that a sample finds, by its number; that of a size which inferences change stays as it is after a reset."""

    def __init__(self, feeds: Mapping[str, Rows], model: Imported) -> None:
        assert model.states is not None
        self._feeds, self._inputs = feeds, model.inputs
        self._begin = model.states.beginning([entry.shape for entry in model.inputs])
        self._run, self._outputs = runner(model.model), len(model.outputs)
        self._of = lru_cache(1024)(self._find)

    def rows(self, place: int, entry: Input) -> Rows:
        """The values of one variable."""
        return lambda numbers: np.stack([self._of(int(number))[place].reshape(entry.item) for number in numbers])

    def _find(self, number: int) -> Sequence[Values]:
        values = [self._feeds[entry.name](np.array([number])).reshape(entry.shape) for entry in self._inputs]
        state = self._begin(values)
        for _ in range(number % INFERENCES):
            after = self._run([*values, *state])[self._outputs :]
            if [value.shape for value in after] != [value.shape for value in state]:
                break
            state = after
        return state
