"""Random numbers: every use of a seed has a stream of its own, so that no two draw the same numbers."""

from enum import IntEnum, auto

import numpy as np


class Stream(IntEnum):
    """What random numbers are drawn for. New streams go to the end: the numbers of the others stay as they are."""

    STATISTICS_ROWS = auto()  # by phase and batch
    SOLVING = auto()  # by phase and layer
    GROWTH = auto()
    ACTIVATIONS = auto()
    TRAINING_SPLIT = auto()
    TRAINING_ORDER = auto()  # by round
    AUGMENTATION = auto()  # by step
    TEST_SPLIT = auto()
    BENCHMARK = auto()
    FIDELITY = auto()
    FIDELITY_ON_FRACTALS = auto()
    ESTIMATE = auto()
    TASK_METRICS = auto()
    SYNTHETIC_INPUTS = auto()  # by input and sample
    EARLY_STOPPING = auto()
    INVERSION = auto()  # by first sample of a batch
    CALIBRATION_DRAW = auto()
    TEST_DRAW = auto()
    ORIGINAL_CHECK = auto()


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """The generator of a stream of `seed`, or of a part of the stream, told from others by `numbers`.

    The key begins with a word of its own: `fractal_data` spawns by the number of an image alone.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**32 - 1, stream, *numbers)))
