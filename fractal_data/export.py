"""Images to files: a folder of PNGs or an .npz, with a contact sheet beside it."""

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from PIL import Image

from fractal_data.images import Pixels, Size, fractal_images, sides
from fractal_data.recipe import FractalRecipe
from fractal_data.sheet import contact_sheet

SHEET_PIXELS = 64 * 256 * 256  # as many images as fit are kept for the contact sheet
SHEET_IMAGES = 64
FAST = 1  # PNG compression level; noise does not shrink further
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same bytes at any time of day


class Drawing(TypedDict, total=False):
    """How the images are drawn, as `fractal_images` has it."""

    channels: int
    recipe: FractalRecipe
    start: int
    processes: int


def ignore(written: int) -> None:
    """Progress that nobody watches."""


def export(
    count: int,
    size: Size,
    seed: int,
    out: Path,
    *,
    progress: Callable[[int], None] = ignore,
    **drawing: Unpack[Drawing],
) -> Path:
    """Write `count` images to `out`, an .npz (`x`, uint8 NHWC) or a folder of PNGs, and return the path of the contact sheet.

    The sheet, of the first images, is put beside `out`, as NAME-sheet.png. `progress` is told how many images are written.
    An .npz appears whole or not at all.

    Raises ValueError for what `fractal_images` refuses, no image, or channels that a PNG cannot have; FileExistsError where
    `out` is a file, or a folder that is not empty.
    """
    channels, start = drawing.get("channels", 3), drawing.get("start", 0)
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    if out.suffix != ".npz" and channels not in (1, 3):
        raise ValueError(f"a PNG has 1 or 3 channels, not {channels}; write an .npz")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise FileExistsError(f"{out} exists already; choose another name or remove it")
    height, width = sides(size)
    batches = fractal_images(count, size, seed, **drawing)
    shown = Shown(min(SHEET_IMAGES, max(1, SHEET_PIXELS // (height * width))), progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        _write_npz(out, (count, height, width, channels), shown.watch(batches))
    else:
        _write_pngs(out, start, shown.watch(batches))
    sheet = out.with_name(f"{out.stem if out.suffix == '.npz' else out.name}-sheet.png")
    contact_sheet(np.concatenate(shown.images)).save(sheet)
    return sheet


class Shown:
    """The first `wanted` images of a stream, kept as it passes by."""

    def __init__(self, wanted: int, progress: Callable[[int], None]) -> None:
        self.images: list[Pixels] = []
        self._wanted = wanted
        self._progress = progress

    def watch(self, batches: Iterator[Pixels]) -> Iterator[Pixels]:
        """The same batches; progress is reported when the next one is asked for, that is, when this one is written."""
        written = 0
        for images in batches:
            if written < self._wanted:
                self.images.append(images[: self._wanted - written])
            yield images
            written += len(images)
            self._progress(written)


def _write_npz(out: Path, shape: tuple[int, int, int, int], batches: Iterator[Pixels]) -> None:
    """np.savez, but streaming."""
    partial = out.with_name(f"{out.name}.part")
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            with archive.open(zipfile.ZipInfo("x.npy", EPOCH), "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                for images in batches:
                    member.write(images.tobytes())
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def _write_pngs(out: Path, start: int, batches: Iterator[Pixels]) -> None:
    out.mkdir(exist_ok=True)
    number = start
    for images in batches:
        for image in images:
            Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(
                out / f"{number:06d}.png", compress_level=FAST
            )
            number += 1
