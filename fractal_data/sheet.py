"""Contact sheets: many small images on one."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAP = 2  # pixels between images
LEAST_SIDE, MOST_SIDE = 64, 256  # smaller images are enlarged pixel by pixel, larger ones averaged
PAPER = (255, 255, 255)


def contact_sheet(images: NDArray[np.uint8], columns: int = 8) -> Image.Image:
    """The images (n, height, width, channels) in rows of `columns`; other than three channels are shown as their mean.

    Raises ValueError without an image or a column.
    """
    if len(images) == 0 or columns < 1:
        raise ValueError(f"a contact sheet needs an image and a column, not {len(images)} and {columns}")
    pictures = [_picture(image) for image in images]
    width, height = pictures[0].width + GAP, pictures[0].height + GAP
    across, down = min(columns, len(pictures)), -(-len(pictures) // columns)
    sheet = Image.new("RGB", (across * width - GAP, down * height - GAP), PAPER)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    """An image (height, width, channels) in colour or grey, enlarged or reduced by a whole factor."""
    picture = Image.fromarray(image if image.shape[2] == 3 else image.mean(axis=2).astype(np.uint8))
    longer = max(picture.size)
    if longer > MOST_SIDE:
        return picture.reduce(-(-longer // MOST_SIDE))
    zoom = max(1, LEAST_SIDE // longer)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
