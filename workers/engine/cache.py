"""Solved layers on disk, so that a job that was interrupted goes on where it was.

A layer's solution follows from the model, the samples, the steps so far, the seed, the threads and the versions of the code.
The model and the samples are the job's own, and so is the folder; the rest is hashed into the name of a file.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from workers.engine.layer import LayerResult, LayerTask
from workers.jobs.claims import Claims
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
        self._claims = Claims(folder) if folder else None

    def folder(self, place: Mapping[str, Any]) -> Path | None:
        """Where a part of the job keeps what it has reached; `place` is all that tells it from others, in JSON values."""
        key = sha256(json.dumps({**place, "code": CODE}, sort_keys=True).encode()).hexdigest()
        return self._folder and self._folder / key

    def at(self, place: Mapping[str, Any]) -> LayerCache:
        """The solved layers of one part."""
        folder = self.folder(place)
        return DiskLayerCache(folder, self._count) if folder else NO_CACHE

    @property
    def shared(self) -> bool:
        """Whether other processes can take part in the job."""
        return self._claims is not None

    @contextmanager
    def sole(self, work: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Keep other processes from a piece of work until it is done; `waiting` is called where one of them is at it."""
        if self._claims is None:
            yield
            return
        if not self._claims.take(work):
            waiting()
            self._claims.take(work, wait=True)  # until it has ended, one way or another
        try:
            yield
        finally:
            self._claims.close(work)
            self._claims.release(work)

    @contextmanager
    def part(self, work: str) -> Iterator[bool]:
        """Take a piece of work for the process that does the job; False where another one is at it."""
        taken = self._claims is not None and self._claims.take(work)
        try:
            yield taken
        finally:
            if taken and self._claims is not None:
                self._claims.release(work)

    def taken(self, work: str) -> bool:
        """Whether another process is at a piece of work."""
        with self.part(work) as free:
            return self.shared and not free

    def closed(self, work: str) -> bool:
        """Whether no process needs to do it any more."""
        return self._claims is not None and self._claims.closed(work)

    def close(self, work: str) -> None:
        """No process needs to do it any more."""
        if self._claims is not None:
            self._claims.close(work)

    def _count(self) -> None:
        self.reused += 1


class DiskLayerCache:
    """The solved layers of one part of a job, each a file in `folder`; `on_reuse` is called for each that is restored."""

    def __init__(self, folder: Path, on_reuse: Callable[[], None] = lambda: None) -> None:
        self._folder, self._on_reuse = folder, on_reuse
        self._claims = Claims(folder)

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
        """Lock a layer for this process, as `Claims.take` does."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError:
            if wait:
                raise
            return False
        return self._claims.take(layer, wait)

    def release(self, layer: str) -> None:
        """Let another process have it."""
        self._claims.release(layer)

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
