"""Pictures from files: decoded safely, brought to a size."""

import struct
import warnings
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from workers.errors import DataMismatch, UnreadableData
from workers.recipe import Preprocessing

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MAX_PIXELS = 64 * 10**6
DAMAGE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError)


def decode(file: IO[bytes], name: str, channels: int) -> Image.Image:
    """The picture in `file`, upright, with 1, 3 or 4 channels of 8 bits.

    Raises UnreadableData naming the file if it is damaged, too large or not of 8 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, and about sizes that are checked here
            picture = Image.open(file, formats=FORMATS)
            _check(picture, name)
            upright = ImageOps.exif_transpose(picture)
            return _without_palette(upright).convert(MODES[channels])
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UnreadableData(f"The image {name!r} cannot be decoded: {error}.", hint="Replace or remove the file.") from error


def _check(picture: Image.Image, name: str) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        size = f"{picture.width}x{picture.height}"
        raise UnreadableData(f"The image {name!r} has {size} pixels; the limit is {MAX_PIXELS} in all.", hint="Scale it down.")
    if picture.mode[0] in "IF":
        raise UnreadableData(
            f"The image {name!r} has more than 8 bits per channel.", hint="Save it with 8 bits, or use an .npz."
        )


def _without_palette(picture: Image.Image) -> Image.Image:
    return picture.convert("RGBA" if "transparency" in picture.info else "RGB") if picture.mode == "P" else picture


def fit(picture: Image.Image, name: str, height: int, width: int, declared: Preprocessing) -> NDArray[np.uint8]:
    """uint8 (height, width, channels): scaled as declared, else just enough to cover, and cut from the centre.

    Raises DataMismatch naming both sizes where the scaled picture is too small.
    """
    if declared.resize is not None:
        factor = declared.resize / min(picture.size)
    elif declared.crop is not None:
        factor = 1.0
    else:
        factor = max(height / picture.height, width / picture.width)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    if size[0] * size[1] > MAX_PIXELS:
        raise DataMismatch(f"{name} is too narrow: scaled to the model's input it would be {size[1]}x{size[0]}.")
    scaled = picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)
    if scaled.width < width or scaled.height < height:
        raise DataMismatch(
            f"{name} is {scaled.height}x{scaled.width} after scaling, and the model's input is {height}x{width}."
        )
    left, top = (scaled.width - width) // 2, (scaled.height - height) // 2
    cut = scaled.crop((left, top, left + width, top + height))
    return np.asarray(cut, np.uint8).reshape(height, width, -1)
