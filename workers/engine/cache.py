"""Solved layers on disk, so that a job that was interrupted goes on where it was.

A layer's solution follows from the model, the samples, the steps so far, the seed, the threads and the versions of the code.
The model and the samples are the job's own, and so is the folder; the rest is hashed into the name of a file.
"""

import fcntl
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from zipfile import BadZipFile

import numpy as np

from workers.engine.layer import LayerResult, LayerTask
from workers.methods.problem import Array

BIAS = "bias/"  # before an operation's name, in the names of arrays
CODE = {name: version(name) for name in ("fractune", "numpy", "openvino")}


class LayerCache(Protocol):
    """What an interrupted run of the same compression has left to this one, and what one beside it leaves."""

    def restore(self, task: LayerTask) -> LayerResult | None:
        """The result of a task; None where none is kept."""

    def save(self, result: LayerResult) -> None:
        """Keep a result for a run after this one."""

    def claim(self, layer: str, wait: bool = False) -> bool:
        """Keep other runs from solving a layer; False where one of them is at it, unless we `wait` for it to end."""

    def release(self, layer: str) -> None:
        """Let other runs have a layer."""


class NoCache:
    """Keeps nothing; there are no other runs."""

    def restore(self, task: LayerTask) -> LayerResult | None:
        """Nothing."""
        return None

    def save(self, result: LayerResult) -> None:
        """Nothing."""

    def claim(self, layer: str, wait: bool = False) -> bool:
        """Every layer is ours."""
        return True

    def release(self, layer: str) -> None:
        """Nothing."""


NO_CACHE: LayerCache = NoCache()


class JobCache:
    """The solved layers of one job, in `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.reused = 0  # layers that were not solved again
        self._folder = folder

    def folder(self, place: Mapping[str, Any]) -> Path | None:
        """Where a part of the job keeps what it has reached; `place` is all that tells it from others, in JSON values."""
        key = sha256(json.dumps({**place, "code": CODE}, sort_keys=True).encode()).hexdigest()
        return self._folder and self._folder / key

    def at(self, place: Mapping[str, Any]) -> LayerCache:
        """The solved layers of one part."""
        folder = self.folder(place)
        return DiskLayerCache(folder, self._count) if folder else NO_CACHE

    def _count(self) -> None:
        self.reused += 1


class DiskLayerCache:
    """The solved layers of one part of a job, each a file in `folder`; `on_reuse` is called for each that is restored."""

    def __init__(self, folder: Path, on_reuse: Callable[[], None] = lambda: None) -> None:
        self._folder, self._on_reuse = folder, on_reuse
        self._claims: dict[str, BinaryIO] = {}

    def restore(self, task: LayerTask) -> LayerResult | None:
        """The result kept for a task; None where none can be read."""
        path = self._path(task.layer.name)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                result = _unpacked(task, {name: kept[name] for name in kept.files})
        except (OSError, ValueError, KeyError, BadZipFile):
            return None
        self._on_reuse()
        return result

    def save(self, result: LayerResult) -> None:
        """Keep a result; it appears whole or not at all."""
        path = self._path(result.layer.name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **_packed(result))
        partial.replace(path)

    def claim(self, layer: str, wait: bool = False) -> bool:
        """Lock the layer's file for this process, or see that another one has it; the system lets go of what a dead one had.

        False also where the folder is gone, which means that the job has ended. Raises FileNotFoundError for that if it waits.
        """
        path = self._path(layer)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            file = path.with_suffix(".lock").open("wb")
        except FileNotFoundError:
            if wait:
                raise
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._claims[layer] = file
        return True

    def release(self, layer: str) -> None:
        """Close the file of a claim, which unlocks it."""
        if file := self._claims.pop(layer, None):
            file.close()

    def _path(self, layer: str) -> Path:
        return self._folder / f"{sha256(layer.encode()).hexdigest()}.npz"


def _packed(result: LayerResult) -> dict[str, Any]:
    figures = {
        "relative_error": result.relative_error,
        "own_error": result.own_error,
        "samples": result.samples,
        "statistics": dict(result.statistics),
    }
    arrays: dict[str, Any] = {BIAS + name: vector for name, vector in result.biases.items()}
    if result.scale is not None:
        arrays["scale"] = result.scale
    return {**arrays, "weight": result.weight, "figures": np.array(json.dumps(figures))}


def _unpacked(task: LayerTask, arrays: dict[str, Array]) -> LayerResult:
    weight = arrays["weight"].astype(np.float32)
    if weight.shape != task.values.shape:
        raise ValueError
    return LayerResult(
        layer=task.layer,
        steps=task.steps,
        original=task.original,
        weight=weight,
        scale=arrays.get("scale"),
        biases={name.removeprefix(BIAS): vector for name, vector in arrays.items() if name.startswith(BIAS)},
        channels=task.earlier.channels if task.earlier else None,
        **json.loads(str(arrays["figures"])),
    )
