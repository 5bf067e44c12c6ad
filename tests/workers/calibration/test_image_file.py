"""Pictures on disk."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.calibration.image_file import ImageFile

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3)).astype(np.uint8)


def opened(tmp_path: Path) -> ImageFile:
    return ImageFile(tmp_path / "images" / "a.images", (4, 6, 3))


def test_pictures_come_back_by_number(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with file.making():
        file.append(PIXELS[:7])
        file.append(PIXELS[7:])
        assert not file.complete
    assert (file.complete, file.count) == (True, 10)
    assert np.array_equal(file.read(np.array([9, 0, 3])), PIXELS[[9, 0, 3]])


def test_half_a_picture_of_an_interrupted_attempt_does_not_count(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with pytest.raises(FileNotFoundError), file.making():  # noqa: PT012 - interrupted between two batches
        file.append(PIXELS[:2])
        file.read(np.arange(1))
    with (tmp_path / "images" / "a.part").open("ab") as part:
        part.write(bytes(5))
    again = opened(tmp_path)
    with again.making():
        assert (again.complete, again.count) == (False, 2)
        again.append(PIXELS[2:])
    assert np.array_equal(again.read(np.arange(10)), PIXELS)


def test_whoever_waits_finds_them_made(tmp_path: Path) -> None:
    def made(number: Any) -> Any:
        file = opened(tmp_path)
        with file.making():
            if not file.complete:
                file.append(PIXELS)
                return 1
        return 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(made, range(4))) == 1
