"""Profiles of a model's layers, each made once: kept in memory for candidates of one process, in checkpoints for others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import openvino as ov

from workers.allocation.bit_profile import BIT_PROFILERS, BitProfile
from workers.allocation.channel_profile import ChannelProfile, profile_channels
from workers.allocation.sensitivity_profile import SensitivityProfile, profile_hard_pruning, profile_sensitivities
from workers.calibration import Samples
from workers.engine.cache import JobCache
from workers.engine.layer import LayerResult
from workers.engine.solver import EngineOptions
from workers.ir.graph.layers import Layer
from workers.methods.problem import Method, Step
from workers.passes import CompressionState, RunContext, StepProgress, tell_nobody

T = TypeVar("T", SensitivityProfile, BitProfile, ChannelProfile)
Profiler = Callable[[ov.Model, Sequence[Layer], Samples, EngineOptions, StepProgress], T]
MADE_BY: Mapping[Any, Any] = {
    **dict.fromkeys((profile_sensitivities, profile_hard_pruning), SensitivityProfile),
    **dict.fromkeys(BIT_PROFILERS.values(), BitProfile),
    profile_channels: ChannelProfile,
}


class ProfileCache:
    """The profiles of a model's layers as they are; after other steps they are made anew."""

    def __init__(self, cache: JobCache | None = None) -> None:
        self._known: dict[Profiler[Any], Any] = {}
        self._cache = cache or JobCache(None)

    @property
    def empty(self) -> bool:
        """Whether none has been asked for yet."""
        return not self._known

    def of(
        self,
        profiler: Profiler[T],
        layers: Sequence[Layer],
        state: CompressionState,
        context: RunContext,
        progress: StepProgress = tell_nobody,
    ) -> T:
        """What `profiler` finds of these layers in the model as it stands."""
        if state.results:
            return profiler(state.model, layers, context.samples, context.engine, progress)
        if profiler not in self._known:
            with self._cache.sole(f"profile {profiler.__name__}", lambda: None):  # by one process; the others wait for it
                self._known[profiler] = self._found(profiler, layers, state, context, progress)
        known: T = self._known[profiler]
        return known

    def foreseen(self, step: Step) -> float | None:
        """What the known profiles say that a step's levels or bits cost together; None where they were not asked."""
        if not isinstance(step, Method):
            return None
        for profile in self._known.values():
            if isinstance(profile, SensitivityProfile) and step.measured_level is not None:
                return profile.harm(step.measured_level)
            if isinstance(profile, BitProfile) and step.measured_bits is not None:
                return profile.harm(step.measured_bits)
        return None

    def _found(
        self,
        profiler: Profiler[T],
        layers: Sequence[Layer],
        state: CompressionState,
        context: RunContext,
        progress: StepProgress,
    ) -> T:
        """The profile that is kept, or else made now, and kept."""
        folder = self._cache.folder(_place(profiler, layers, context))
        kept = kept_profile(profiler, layers, folder) if folder else None
        found = kept or profiler(state.model, layers, context.samples, context.engine, progress)
        if folder and kept is None:
            keep_profile(found, folder)
        return found

    def foretold(self, results: Sequence[LayerResult]) -> dict[str, float]:
        """What the known profiles say that each layer's new weights alone cost the outputs, by layer name."""
        found: dict[str, float] = {}
        for profile in self._known.values():
            found |= profile.foretold(results)
        return found


def keep_profile(profile: SensitivityProfile | BitProfile | ChannelProfile, folder: Path) -> None:
    """Write a profile as `folder`/profile.npz; it appears whole or not at all."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / "profile.part"
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: np.array(value) for name, value in asdict(profile).items()})
    partial.replace(folder / "profile.npz")


def kept_profile(profiler: Profiler[T], layers: Sequence[Layer], folder: Path) -> T | None:
    """The profile of these layers that is kept in a folder; None where none can be read."""
    try:
        with np.load(folder / "profile.npz", allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        values = {name: tuple(value.tolist()) if value.ndim == 1 else value for name, value in arrays.items()}
        profile: T = MADE_BY[profiler](**values)
    except (OSError, ValueError, TypeError, BadZipFile):
        return None
    return profile if profile.names == tuple(layer.name for layer in layers) else None


def _place(profiler: Profiler[Any], layers: Sequence[Layer], context: RunContext) -> dict[str, object]:
    """All that a profile follows from beside the job's own model and samples, in JSON values."""
    return {
        "profile": profiler.__name__,
        "layers": [layer.name for layer in layers],
        "seed": context.seed,
        "threads": context.threads,
        "batch": context.batch_size,
    }
