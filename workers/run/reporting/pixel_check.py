"""Whether a model seems to want pixels as they are: then, scaled as is assumed, all pictures look nearly alike to it.

It needs no labels. Of 15 networks (docs/preprocessing.md), the three that take 0 to 255 answer 2.4 to 4.9 times as differently
to such pixels, those that take scaled ones at most 1.7 times.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.calibration.fractal_samples import from_fractals
from workers.calibration.preprocessing import ASSUMED, image_input
from workers.calibration.samples import Samples
from workers.evaluation.model_outputs import answers, inference_request
from workers.ir.reading.importer import Imported
from workers.recipe import Preprocessing

PICTURES = 8
LARGEST = 512 * 512  # pixels of a picture, beyond which trying takes longer than reading the model
CLEARLY = 2.0  # times as far apart must the answers to unscaled pixels lie
ALIKE = 0.3  # spread below which answers to different pictures are nearly alike


def wants_raw_pixels(imported: Imported, declared: Preprocessing, threads: int = 1) -> float | None:
    """How many times as far apart the answers lie with pixels as they are; None where nothing is assumed, or nothing odd."""
    image = image_input(imported.inputs[0], declared) if len(imported.inputs) == 1 else None
    if image is None or image[0].height * image[0].width > LARGEST:
        return None
    assumed = from_fractals(imported, PICTURES, 0, declared)
    if not any(note.startswith(ASSUMED) for note in assumed.notes):
        return None
    raw = declared.model_copy(update={"mean_values": (0.0,), "scale_values": (1.0,)})
    before = _spread(_outputs(imported, assumed, threads))
    after = _spread(_outputs(imported, from_fractals(imported, PICTURES, 0, raw), threads))
    return round(after / before, 1) if 0 < before < ALIKE and after > CLEARLY * before else None


def _outputs(imported: Imported, samples: Samples, threads: int) -> list[list[NDArray[Any]]]:
    request = inference_request(imported.model, samples, 1, threads)
    return [answers(request, samples.batch(number, number + 1), 1, 1) for number in range(samples.count)]


def _spread(found: Sequence[Sequence[NDArray[Any]]]) -> float:
    """E|o - mean|^2 / E|o|^2 over the pictures, its root, averaged over the outputs; 0 where they are not finite."""
    spreads = []
    for outputs in zip(*found, strict=True):
        if len({output.shape for output in outputs}) > 1 or outputs[0].dtype.kind != "f":
            continue
        rows = np.stack([output.ravel() for output in outputs]).astype(np.float64)
        energy = np.mean(rows**2)
        spreads.append(float(np.sqrt(np.mean((rows - rows.mean(axis=0)) ** 2) / energy)) if energy else 0.0)
    return float(np.mean(spreads)) if spreads and np.isfinite(spreads).all() else 0.0
