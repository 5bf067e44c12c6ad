"""Samples to look at, with what both models made of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.statistics.decisions import Rows

LONGEST_SIDE = 224
FAST = 1  # compression of a PNG: a twentieth larger than by default, in less than half the time
SHARE_OF_CHANGED = 2 / 3


@dataclass(frozen=True, slots=True)
class Picture:
    """A sample with both answers."""

    png: bytes
    original: int  # class
    compressed: int
    original_confidence: float
    compressed_confidence: float
    label: int | None = None
    unit: str = "class"  # of the answers: or how many `objects` or `classes` there are


def telling_pictures(
    rows: Rows,
    labels: NDArray[np.int64] | None,
    images: Callable[[int, int], NDArray[np.uint8] | None],
    count: int = 12,
) -> tuple[Picture, ...]:
    """Pictures of the samples that tell most; none where a sample has no single decision or is no image.

    `rows` are those of the headline; `images(start, stop)` gives pixels (n, height, width, channels).
    """
    made = []
    for index in telling_samples(rows, count).tolist():
        pixels = images(index, index + 1)
        if pixels is not None:
            row, label = rows[index], None if labels is None else int(labels[index])
            answers = int(row["before"]), int(row["after"]), float(row["confidence_before"]), float(row["confidence_after"])
            made.append(Picture(encode_png(pixels[0]), *answers, label))
    return tuple(made)


def save_pictures(pictures: Sequence[Picture], folder: Path) -> None:
    """As 01.png, 02.png and so on, with the answers in samples.json; no folder without a picture."""
    if not pictures:
        return
    folder.mkdir()
    for number, picture in enumerate(pictures, 1):
        (folder / f"{number:02}.png").write_bytes(picture.png)
    told = [{name: value for name, value in asdict(picture).items() if name != "png"} for picture in pictures]
    (folder / "samples.json").write_text(json.dumps(told, indent=1))


def read_pictures(folder: Path) -> tuple[Picture, ...]:
    """What `save_pictures` has written; nothing where there is no folder."""
    if not folder.is_dir():
        return ()
    told = json.loads((folder / "samples.json").read_text())
    return tuple(Picture((folder / f"{number:02}.png").read_bytes(), **answers) for number, answers in enumerate(told, 1))


def telling_samples(rows: Rows, count: int) -> NDArray[np.int64]:
    """Positions of up to `count` samples: changed decisions, the surest of the original first, then some that are unchanged."""
    single = rows["before"] >= 0
    changed = np.flatnonzero(single & (rows["before"] != rows["after"]))
    surest = changed[np.argsort(-rows["confidence_before"][changed], kind="stable")]
    same = np.flatnonzero(single & (rows["before"] == rows["after"]))
    shown = surest[: max(round(SHARE_OF_CHANGED * count), count - len(same))]
    return np.concatenate([shown, same[: count - len(shown)]])


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of pixels (height, width, channels) with 1, 3 or 4 channels, no larger than is shown."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = BytesIO()
    picture.save(file, "PNG", compress_level=FAST)
    return file.getvalue()
