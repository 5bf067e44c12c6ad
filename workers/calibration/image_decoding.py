"""Pictures from files: decoded safely, brought to a size."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from workers.errors import DataMismatch, UnreadableData
from workers.recipe import Preprocessing

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
BORDER = 114  # grey beside a picture that does not fill its frame, as YOLO has it
ORIENTATION, SIDEWAYS = 0x0112, frozenset({5, 6, 7, 8})  # of EXIF
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


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture comes to lie in the model's input: scaled to `size`, with (left, top) as the first pixel."""

    size: tuple[int, int]  # width, height
    left: int
    top: int
    scale: tuple[float, float]  # horizontal, vertical

    def corners(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (k, 4) of the picture, in the frame of the input."""
        moved = boxes * np.array(self.scale * 2, np.float32) - np.array([self.left, self.top] * 2, np.float32)
        return moved.astype(np.float32)


def place_picture(size: tuple[int, int], name: str, height: int, width: int, declared: Preprocessing) -> Placement:
    """How a picture of `size` (width, height) is scaled and cut: as declared, else just enough to cover, from the centre.

    Raises DataMismatch naming both sizes where the scaled picture is too small or absurd.
    """
    horizontal, vertical = _factors(size, height, width, declared)
    scaled = (max(1, round(size[0] * horizontal)), max(1, round(size[1] * vertical)))
    if scaled[0] * scaled[1] > MAX_PIXELS:
        raise DataMismatch(f"{name} is too narrow: scaled to the model's input it would be {scaled[1]}x{scaled[0]}.")
    if declared.fit != "letterbox" and (scaled[0] < width or scaled[1] < height):
        raise DataMismatch(f"{name} is {scaled[1]}x{scaled[0]} after scaling, and the model's input is {height}x{width}.")
    exact = (scaled[0] / size[0], scaled[1] / size[1])
    return Placement(scaled, (scaled[0] - width) // 2, (scaled[1] - height) // 2, exact)


def _factors(size: tuple[int, int], height: int, width: int, declared: Preprocessing) -> tuple[float, float]:
    if declared.resize is not None:
        return (declared.resize / min(size),) * 2
    if declared.crop is not None:
        return 1.0, 1.0
    factors = width / size[0], height / size[1]
    if declared.fit == "stretch":
        return factors
    return (min(factors) if declared.fit == "letterbox" else max(factors),) * 2


def fit(picture: Image.Image, name: str, height: int, width: int, declared: Preprocessing) -> NDArray[np.uint8]:
    """uint8 (height, width, channels): placed as `place` says; what a letterbox leaves free is grey. Raises as `place` does."""
    placement = place_picture(picture.size, name, height, width, declared)
    cut = cut_out(picture, placement, height, width, Image.Resampling.BILINEAR, BORDER)
    return np.asarray(cut, np.uint8).reshape(height, width, -1)


def cut_out(
    picture: Image.Image, placement: Placement, height: int, width: int, how: Image.Resampling, border: int
) -> Image.Image:
    """The part of a picture that lies in the frame of the input, scaled by `how`; `border` where there is none."""
    scaled = picture if placement.size == picture.size else picture.resize(placement.size, how)
    if placement.left >= 0 and placement.top >= 0:
        return scaled.crop((placement.left, placement.top, placement.left + width, placement.top + height))
    framed = Image.new(picture.mode, (width, height), (border,) * len(picture.getbands()))
    framed.paste(scaled, (-placement.left, -placement.top))
    return framed


def picture_size(file: IO[bytes], name: str) -> tuple[int, int]:
    """Width and height of the picture in `file`, upright; only its head is read. Raises UnreadableData."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(file, formats=FORMATS)
            _check(picture, name)
            turned = picture.getexif().get(ORIENTATION, 1) in SIDEWAYS
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UnreadableData(f"The image {name!r} cannot be decoded: {error}.", hint="Replace or remove the file.") from error
    return (picture.height, picture.width) if turned else picture.size


def decode_mask(file: IO[bytes], name: str) -> Image.Image:
    """The class indices in `file` as a picture of 8 bits; those of a palette are its entries. Raises UnreadableData."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(file, formats=FORMATS)
            _check(picture, name)
            if picture.mode not in ("L", "P", "1"):
                raise ValueError(f"its pixels are {picture.mode}, not class indices")
            return Image.fromarray(np.array(picture, np.uint8))
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UnreadableData(f"The mask {name!r} cannot be read: {error}.", hint="Save masks as grey PNG files.") from error
