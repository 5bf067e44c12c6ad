"""Solved layers on disk, so that a job that was interrupted goes on where it was.

A layer's solution follows from the model, the samples, the steps so far, the seed, the threads and the versions of the code.
The model and the samples are the job's own, and so is the folder; the rest is hashed into the name of a file.
"""

import fcntl
import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np

from workers.engine.sweep import LayerResult
from workers.methods.problem import Array

BIAS = "bias/"  # before an operation's name, in the names of arrays
CODE = {name: version(name) for name in ("fractune", "numpy", "openvino")}


class Checkpoints:
    """The solved layers of one job, in `folder`; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.reused = 0
        self._folder = folder

    def at(self, place: Mapping[str, Any]) -> "Sweeping":
        """Those of one sweep; `place` is all that tells it from others, in JSON values."""
        key = sha256(json.dumps({**place, "code": CODE}, sort_keys=True).encode()).hexdigest()
        return Sweeping(self, self._folder and self._folder / key)


class Sweeping:
    """The solved layers of one sweep: the engine's memory of an attempt before this one, and of processes beside it."""

    def __init__(self, owner: Checkpoints, folder: Path | None) -> None:
        self._owner = owner
        self.folder = folder  # None keeps nothing
        self._claims: dict[str, BinaryIO] = {}

    def restore(self, start: LayerResult) -> LayerResult | None:
        """The result kept for a layer that stands as `start` before it is solved; None where none can be read."""
        path = self._path(start.layer.name)
        if path is None or not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                result = _unpacked(start, {name: kept[name] for name in kept.files})
        except (OSError, ValueError, KeyError, BadZipFile):
            return None
        self._owner.reused += 1
        return result

    def save(self, result: LayerResult) -> None:
        """Keep a result; it appears whole or not at all."""
        path = self._path(result.layer.name)
        if path is None:
            return
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
        if path is None:
            return True
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

    def _path(self, layer: str) -> Path | None:
        return self.folder and self.folder / f"{sha256(layer.encode()).hexdigest()}.npz"


def _packed(result: LayerResult) -> dict[str, Any]:
    figures = {"relative_error": result.relative_error, "samples": result.samples, "statistics": dict(result.statistics)}
    arrays: dict[str, Any] = {BIAS + name: vector for name, vector in result.biases.items()}
    if result.scale is not None:
        arrays["scale"] = result.scale
    return {**arrays, "weight": result.weight.astype(np.float32), "figures": np.array(json.dumps(figures))}


def _unpacked(start: LayerResult, arrays: dict[str, Array]) -> LayerResult:
    biases = {name.removeprefix(BIAS): vector for name, vector in arrays.items() if name.startswith(BIAS)}
    weight = arrays["weight"].astype(np.float64)
    if weight.shape != start.weight.shape:
        raise ValueError
    return replace(start, weight=weight, scale=arrays.get("scale"), biases=biases, **json.loads(str(arrays["figures"])))


NO_CHECKPOINTS = Checkpoints(None)
