"""What a change does to one output of a model: its error, and how much of what it decides is lost.

A class is decided by differences of a few scores, not by all that a relative error of the output sees; a divergence
(Kullback-Leibler) of the probabilities does see that. But a network may be so sure of its samples that nothing small changes
them. Scores are therefore softened, as for distillation (Hinton 2015), until the original is in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.methods.problem import Array
from workers.statistics.decisions import Activation, OutputKind, Reading, read

IN_DOUBT = 0.5  # of the way from chance to certainty: the mean probability of the first class, at the most
WARMER = 1.1  # steps of the temperature
HOTTEST = 1e3
TINY = 1e-12

Batches = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class OutputLoss:
    """What the outputs of a model have lost, the mean over all of them."""

    error: float  # E‖o − ô‖² / E‖o‖²
    harm: float  # the share of the decisions that is lost, softened; the error, where no class is decided


def compare_output(name: str, activation: Activation, expected: Batches, found: Batches) -> OutputLoss:
    """The loss of the output `name`, batch by batch, which was made by `activation`."""
    pairs = zip(expected, found, strict=True)
    error = sum(float(np.sum(np.square(np.subtract(new, old, dtype=np.float64)))) for old, new in pairs)  # whatever their type
    energy = sum(float(np.sum(np.square(old, dtype=np.float64))) for old in expected)
    relative = error / energy if energy else float(error > 0)
    reading = read(name, np.atleast_1d(expected[0]), activation)
    if reading.kind is not OutputKind.CLASSES or len({values.shape[1:] for values in expected}) > 1:
        return OutputLoss(relative, relative)
    before, after = (_scores(reading, np.concatenate(batches)) for batches in (expected, found))
    return OutputLoss(relative, lost_decisions(before, after))


def lost_decisions(before: Array, after: Array) -> float:
    """The divergence of `after` from `before`, scores (n, K), in units of that of the mean answer; both softened."""
    temperature = doubting(before)
    told, left = _log_softmax(before / temperature), _log_softmax(after / temperature)
    shares = np.exp(told)
    whole = np.sum(shares * (told - np.log(shares.mean(axis=0) + TINY)))
    return float(np.sum(shares * (told - left)) / max(whole, TINY))


def doubting(scores: Array) -> float:
    """The least temperature, from 1 on, at which the first class is no surer on average than IN_DOUBT says."""
    chance, temperature = 1 / scores.shape[1], 1.0
    most = chance + IN_DOUBT * (1 - chance)
    while np.exp(_log_softmax(scores / temperature)).max(axis=1).mean() > most and temperature < HOTTEST:
        temperature *= WARMER
    return temperature


def _scores(reading: Reading, values: NDArray[Any]) -> Array:
    """Logits (n, K) of an output (n, ...)."""
    scores = values.reshape(len(values), -1).astype(np.float64)
    return np.log(np.maximum(scores, TINY)) if reading.normalised else scores


def _log_softmax(scores: Array) -> Array:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
