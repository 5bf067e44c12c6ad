"""One image: mid-point noise, with fractals in front of it."""

import numpy as np
from numpy.typing import NDArray

from fractal_data.colour import SHADES, Table, colour_basis, mix, sample_colours, sample_palette
from fractal_data.ifs import chaos_game, compose, pieces, sample_code
from fractal_data.noise import Field, double, midpoint_noise
from fractal_data.recipe import FractalRecipe
from fractal_data.render import Fractal, Plane, density, measured, neighbourhood, sample_view, sparse, window

FINEST = 1024  # longer side at which a small image is rendered at most
CHAINS = (64, 1024)  # fewest and most chains of a chaos game
STEPS = 16  # points that a chain contributes
POINTS_PER_PIXEL = 1.5
SATURATION_SPREAD = 0.5  # deviation of the logarithm of an image's saturation
TONE, LIGHT = 160, 40  # how far density and the background's luminance move a fractal's colour along its palette
PALETTE = 1.3  # deviation of the colours of a palette, relative to the background
OFFSET = 1.1  # deviation of the mean colour of a fractal, relative to the background


def sample_scene(rng: np.random.Generator, channels: int, height: int, width: int, recipe: FractalRecipe) -> NDArray[np.uint8]:
    """A random image (channels, height, width), rendered finer and averaged where it is smaller than recipe.resolution."""
    zoom = max(1, min(-(-recipe.resolution // min(height, width)), FINEST // max(height, width)))
    least = min(recipe.smallest / min(height, width), recipe.largest)
    rows, columns = height * zoom, width * zoom
    if rng.random() < recipe.softness:
        canvas = double(double(_paint(rng, channels, rows // 2 + 2, columns // 2 + 2, least, recipe), rows, 1), columns, 2)
    else:
        canvas = _paint(rng, channels, rows, columns, least, recipe)
    if zoom > 1:
        canvas = canvas.reshape(channels, height, zoom, width, zoom).mean(axis=(2, 4))
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def _paint(rng: np.random.Generator, channels: int, height: int, width: int, least: float, recipe: FractalRecipe) -> Field:
    """The image (channels, height, width) on the scale 0..255, before clipping; `least` is the smallest extent."""
    vividness = np.exp(SATURATION_SPREAD * rng.standard_normal())
    basis = colour_basis(channels, recipe.correlation, recipe.saturation * vividness)
    light, canvas = _background(rng, basis, height, width, rng.uniform(*recipe.spectrum))
    fractals = [_sample_fractal(rng, height * width, recipe) for _ in range(rng.integers(*recipe.fractals, endpoint=True))]
    octaves = np.log2(recipe.largest / least)
    for number in range(max(1, round(octaves * rng.uniform(*recipe.copies))) if fractals else 0):
        extent = least * 2 ** (octaves * rng.random())
        _add_copy(rng, canvas, light, basis, fractals[number % len(fractals)], extent, rng.random() < recipe.solidity)
    canvas *= np.float32(255 * rng.uniform(*recipe.contrast))
    canvas += 255 * (np.float32(recipe.brightness) + np.float32(recipe.cast) * sample_colours(rng, basis, 1)[..., None])
    return canvas


def _background(rng: np.random.Generator, basis: Table, height: int, width: int, exponent: float) -> tuple[Plane, Field]:
    """Luminance (height, width) and colours (channels, height, width) of mid-point noise; chroma has half the resolution."""
    light = midpoint_noise(rng, 1, height, width, exponent)
    if len(basis) == 1:
        return light[0], light * basis[0, 0]
    chroma = midpoint_noise(rng, len(basis) - 1, (height + 1) // 2 + 1, (width + 1) // 2 + 1, exponent)
    chroma = double(double(chroma, height, 1), width, 2)
    return light[0], mix(basis, np.concatenate([light, chroma]))


def _sample_fractal(rng: np.random.Generator, pixels: int, recipe: FractalRecipe) -> Fractal:
    """With as many points as an image of that many pixels asks for."""
    code = sample_code(rng, int(rng.integers(*recipe.maps, endpoint=True)))
    fewest, most = CHAINS
    chains = min(most, max(fewest, int(POINTS_PER_PIXEL * pixels) // STEPS))
    return measured(code, chaos_game(rng, code, chains, STEPS))


def _add_copy(
    rng: np.random.Generator, canvas: Field, light: Plane, basis: Table, fractal: Fractal, extent: float, solid: bool
) -> None:
    height, width = light.shape
    cloud = sparse(fractal.cloud, POINTS_PER_PIXEL * height * width * extent**2)
    view = sample_view(rng, fractal, height, width, extent)
    rows, columns = window(view, cloud, height, width)
    view[:, 2] -= columns.start, rows.start
    part = canvas[:, rows, columns]
    count = round(POINTS_PER_PIXEL * part[0].size / cloud.shape[1])
    hits = density(cloud, compose(view, pieces(fractal.code, count)), *part[0].shape)
    _composite(rng, part, hits, light[rows, columns], basis, solid)


def _composite(rng: np.random.Generator, part: Field, hits: Plane, light: Plane, basis: Table, solid: bool) -> None:
    """Lay a fractal with `hits` points per pixel (h, w) over `part` (channels, h, w) of the image."""
    typical = np.float32(hits.sum() / max(1, np.count_nonzero(hits)) + 1e-6)
    cover = hits * (np.float32(rng.uniform(1, 4)) / typical)
    if solid:
        cover += np.maximum(neighbourhood(hits) * (3 / typical) - np.float32(0.3), 0)
    np.minimum(cover, 1, out=cover)
    shade = hits / (hits + typical)
    shade *= TONE
    shade += light * np.float32(LIGHT)
    shade += 20
    index = np.clip(shade, 0, SHADES - 1, out=shade).astype(np.uint8)
    palette = sample_palette(rng, basis) * np.float32(PALETTE) + sample_colours(rng, basis, 1) * np.float32(OFFSET)
    paint = palette.take(index, axis=1)
    paint -= part
    paint *= cover
    part += paint
