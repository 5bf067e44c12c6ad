"""Contact sheets: many small images on one."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 2  # pixels between images
LEAST_SIDE = 64  # smaller images are enlarged to this, pixel by pixel
PAPER = 255


def contact_sheet(images: NDArray[np.uint8], columns: int = 8) -> Image.Image:
    """The images (n, height, width, channels) in rows of `columns`; other than three channels are shown as their mean.

    Raises ValueError without an image or a column.
    """
    if len(images) == 0 or columns < 1:
        raise ValueError(f"a contact sheet needs an image and a column, not {len(images)} and {columns}")
    zoom = max(1, LEAST_SIDE // max(images.shape[1:3]))
    shown = images if images.shape[3] == 3 else np.repeat(images.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3)
    shown = shown.repeat(zoom, axis=1).repeat(zoom, axis=2)
    _, height, width, _ = shown.shape
    rows = -(-len(shown) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAPER, np.uint8)
    for number, image in enumerate(shown):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return Image.fromarray(sheet)
