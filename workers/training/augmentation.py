"""Images that nobody took: parts of the samples, mirrored, and blends of two (Beyer 2022, "patient and consistent" teachers).

The teacher sees the same images as the student, so that whatever they show is a question that has an answer: a few hundred
samples become endless ones, and what is learnt is the teacher's function, not its answers to these samples.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 0.25  # part of an image's area that is left of it
FEWEST = 28**2  # pixels that are left of it: what small images show does not bear to be cut
NARROWEST = 3 / 4  # of a part's width to its height, or the other way round
BLENDED = 0.5  # of the images


def cropped(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A part of each image (n, c, h, w), stretched to the whole and, of every other one by chance, mirrored."""
    n = len(images)
    area = rng.uniform(min(max(SMALLEST, FEWEST / images[0, 0].numel()), 1.0), 1, n)
    shape = NARROWEST ** rng.uniform(-1, 1, n)
    sides = np.minimum(np.sqrt([area * shape, area / shape]), 1.0)  # (2, n) of the image's width and height
    centres = (1 - sides) * rng.uniform(-1, 1, (2, n))
    mirrored = np.where(rng.random(n) < 0.5, -1, 1)
    maps = np.zeros((n, 2, 3), np.float32)
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = sides[0] * mirrored, sides[1], centres.T
    grid = F.affine_grid(torch.from_numpy(maps), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)


def blended(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the images (n, c, h, w), by chance, with the next one in them.

    It shines through everywhere (mixup, Zhang 2018) or covers a rectangle (CutMix, Yun 2019), and makes up a share of the image
    that is drawn evenly from 0 to 1.
    """
    height, width = images.shape[2:]
    share = torch.zeros(len(images), 1, height, width)  # of the next image, in every pixel
    for own in share:
        if rng.random() >= BLENDED:
            continue
        part = float(rng.random())
        if rng.random() < 0.5:
            own[:] = part
            continue
        tall, wide = round(height * part**0.5), round(width * part**0.5)
        top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
        own[:, top : top + tall, left : left + wide] = 1.0
    return torch.lerp(images, images.roll(-1, 0), share.to(images.dtype))
