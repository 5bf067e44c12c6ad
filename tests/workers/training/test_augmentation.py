"""Parts of images and blends of two, told from images that show where each of their pixels comes from."""

import numpy as np
import pytest
import torch

from workers.training.augmentation import NARROWEST, SMALLEST, blended, cropped

HEIGHT, WIDTH, COUNT = 60, 100, 400
PLACES = torch.stack(torch.meshgrid(torch.arange(HEIGHT) / HEIGHT, torch.arange(WIDTH) / WIDTH, indexing="ij"))
INSIDE = slice(2, -2)  # pixels that no edge has been repeated for


def slopes(count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor]:
    """Parts of images of their own coordinates: heights and widths of the parts, negative where mirrored."""
    down, right = cropped(PLACES.expand(count, 2, HEIGHT, WIDTH), np.random.default_rng(0))[:, :, INSIDE, INSIDE].unbind(1)
    for value, axis in ((down, 1), (right, 2)):
        steps = value.diff(dim=axis)
        torch.testing.assert_close(steps, steps[:, :1, :1].expand_as(steps), atol=1e-5, rtol=0)  # a part, stretched evenly
        assert value.diff(dim=3 - axis).abs().max() < 1e-5  # upright
    return down.diff(dim=1)[:, 0, 0] * HEIGHT, right.diff(dim=2)[:, 0, 0] * WIDTH


def test_parts_are_of_all_sizes_and_lie_within_the_image() -> None:
    tall, wide = slopes()
    area = tall * wide.abs()
    assert SMALLEST * 0.75 < area.min() < SMALLEST + 0.05
    assert 0.9 < area.max() <= 1 + 1e-5
    whole = (wide.abs() > 1 - 1e-5) | (tall > 1 - 1e-5)  # these cannot be as narrow as was drawn
    ratio = (wide.abs() / tall)[~whole]
    assert NARROWEST - 1e-3 < ratio.min() < 0.8 < 1.25 < ratio.max() < 1 / NARROWEST + 1e-3
    values = cropped(PLACES.expand(COUNT, 2, HEIGHT, WIDTH), np.random.default_rng(0))
    assert values.min() >= 0
    assert values.max() < 1
    corners = values[:, :, 0, 0]
    assert corners.std(dim=0).min() > 0.05  # anywhere


def test_of_small_images_little_is_cut() -> None:
    """A part of an image of a constant slope has as much less of a slope as it is smaller."""
    slope = torch.arange(32.0).expand(COUNT, 1, 32, 32)
    kept = cropped(slope, np.random.default_rng(0))[:, 0, 16].diff(dim=1)[:, 10].abs()
    assert kept.min() > 28 / 32 * NARROWEST**0.5 - 1e-3
    assert cropped(slope[:, :, :20, :20], np.random.default_rng(0)).isfinite().all()


def test_every_other_part_is_mirrored() -> None:
    tall, wide = slopes()
    assert tall.min() > 0
    assert 0.4 < float((wide < 0).float().mean()) < 0.6


def test_blends_are_of_an_image_and_the_next() -> None:
    numbers = torch.arange(1000.0)
    found = blended(numbers[:, None, None, None].expand(-1, 3, HEIGHT, WIDTH), np.random.default_rng(0))
    assert (found == found[:, :1]).all()  # colours stay together
    share = (found[:-1, 0] - numbers[:-1, None, None]).flatten(1)
    assert share.min() > -1e-4
    assert share.max() < 1 + 1e-4
    even = share.amax(1) - share.amin(1) < 1e-3
    alone, through = even & (share.amax(1) < 1e-3), even & (share.amax(1) >= 1e-3)
    for part, expected in ((alone, 0.5), (through, 0.25), (~even, 0.25)):
        assert float(part.float().mean()) == pytest.approx(expected, abs=0.08)
    for part in (through, ~even):
        assert float(share[part].mean()) == pytest.approx(0.5, abs=0.08)  # drawn evenly
    for covered in share[~even].reshape(-1, HEIGHT, WIDTH).round():
        rows, columns = covered.amax(1), covered.amax(0)
        assert torch.equal(covered, rows[:, None] * columns[None])  # a rectangle
        assert all(int(side.diff().abs().sum() + side[0] + side[-1]) == 2 for side in (rows, columns))
