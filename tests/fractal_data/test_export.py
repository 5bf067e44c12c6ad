"""Images as files: what was drawn is what is read back, whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fractal_data import FractalRecipe, contact_sheet, export, fractal_image
from fractal_data.sheet import LEAST_SIDE, MOST_SIDE


def test_an_npz_holds_the_images_in_order(tmp_path: Path) -> None:
    sheet = export(5, (8, 12), 3, tmp_path / "deep/x.npz", start=2)
    with np.load(tmp_path / "deep/x.npz") as found:
        images = found["x"]
    assert images.shape == (5, 8, 12, 3)
    for number, image in enumerate(images, 2):
        np.testing.assert_array_equal(image, fractal_image(number, (8, 12), 3))
    assert sheet == tmp_path / "deep/x-sheet.png"
    assert sorted(path.name for path in sheet.parent.iterdir()) == ["x-sheet.png", "x.npz"]


@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_are_called_by_their_numbers(tmp_path: Path, channels: int) -> None:
    export(3, 8, 1, tmp_path / "set.v1", start=9, channels=channels)
    files = sorted((tmp_path / "set.v1").iterdir())
    assert [file.name for file in files] == ["000009.png", "000010.png", "000011.png"]
    for number, file in enumerate(files, 9):
        pixels = np.asarray(Image.open(file)).reshape(8, 8, channels)
        np.testing.assert_array_equal(pixels, fractal_image(number, 8, 1, channels))
    assert (tmp_path / "set.v1-sheet.png").is_file()


def test_the_same_images_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        export(2, 8, 0, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_progress_counts_what_is_written(tmp_path: Path) -> None:
    told: list[int] = []
    export(70, 8, 0, tmp_path / "x.npz", progress=told.append)
    assert told == [32, 64, 70]


def test_knobs_reach_the_images(tmp_path: Path) -> None:
    recipe = FractalRecipe(saturation=0, correlation=1)
    export(1, 8, 0, tmp_path / "x.npz", recipe=recipe)
    with np.load(tmp_path / "x.npz") as found:
        np.testing.assert_array_equal(found["x"][0], fractal_image(0, 8, 0, recipe=recipe))


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("x.npz", {"count": 0}, "count must be at least 1"),
        ("x.npz", {"size": 7}, "8 to 1024"),
        ("x.npz", {"size": (8, 1025)}, "8x1025"),
        ("x", {"channels": 2}, "2; write an .npz"),
        ("x.npz", {"channels": 0}, "channels must be at least 1"),
        ("x.npz", {"start": -1}, "start must be at least 0"),
        ("x.npz", {"seed": -1}, "seed must be at least 0"),
        ("x.npz", {"processes": 0}, "processes must be at least 1"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    tmp_path: Path, name: str, arguments: dict[str, Any], words: str
) -> None:
    called: dict[str, Any] = {"count": 1, "size": 8, "seed": 0, "out": tmp_path / name}
    with pytest.raises(ValueError, match=words):
        export(**called | arguments)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    for name in ("x.npz", "full"):
        with pytest.raises(FileExistsError, match=name):
            export(1, 8, 0, tmp_path / name)
    assert (tmp_path / "x.npz").read_text() == "mine"


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    export(1, 8, 0, tmp_path / "empty")
    assert [file.name for file in (tmp_path / "empty").iterdir()] == ["000000.png"]


def test_an_npz_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(written: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(3, 8, 0, tmp_path / "x.npz", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


# contact sheets


def grey(*shape: int) -> Any:
    return np.full(shape, 100, np.uint8)


@pytest.mark.parametrize(
    ("images", "columns", "size"),
    [
        (grey(1, 64, 64, 3), 8, (64, 64)),
        (grey(9, 64, 64, 3), 8, (8 * 66 - 2, 2 * 66 - 2)),
        (grey(3, 64, 64, 1), 2, (2 * 66 - 2, 2 * 66 - 2)),
        (grey(1, 8, 8, 3), 8, (64, 64)),  # enlarged
        (grey(1, 40, 60, 3), 8, (60, 40)),  # by a whole factor or not at all
        (grey(1, 512, 1024, 5), 8, (256, 128)),  # averaged
    ],
)
def test_the_size_of_a_sheet(images: Any, columns: int, size: tuple[int, int]) -> None:
    sheet = contact_sheet(images, columns)
    assert sheet.size == size
    assert sheet.getpixel((0, 0)) == (100, 100, 100)
    assert LEAST_SIDE // 2 < max(sheet.size) or max(sheet.size) <= MOST_SIDE


def test_other_channels_are_shown_as_their_mean() -> None:
    image = np.stack([np.full((64, 64), value, np.uint8) for value in (10, 250)], axis=2)
    assert contact_sheet(image[None]).getpixel((3, 3)) == (130, 130, 130)


@pytest.mark.parametrize(("count", "columns"), [(0, 8), (1, 0)])
def test_a_sheet_of_nothing_is_refused(count: int, columns: int) -> None:
    with pytest.raises(ValueError, match="an image and a column"):
        contact_sheet(grey(count, 8, 8, 3), columns)
