"""The knobs of the image generator."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FractalRecipe:
    """What the images are like. A pair is the range that every image or fractal draws from."""

    fractals: tuple[int, int] = (2, 5)  # fractals an image; (0, 0) leaves the background
    maps: tuple[int, int] = (2, 4)  # affine maps of a fractal
    extent: tuple[float, float] = (0.4, 2.0)  # diameter of a fractal over the shorter side, log-uniform: the mix of scales
    solidity: float = 0.6  # share of the fractals whose gaps are filled
    spectrum: tuple[float, float] = (3.0, 4.5)  # exponent of the background's power spectrum
    correlation: float = 0.9  # average correlation of two channels, at saturation 1
    saturation: float = 1.0  # multiplies the chroma; 0 is grey
    contrast: tuple[float, float] = (0.12, 0.28)  # deviation of the background within an image, over the range of a pixel
    brightness: float = 0.45  # mean of a pixel, over its range
    cast: float = 0.12  # deviation of the mean colour between images, over the range of a pixel
    softness: float = 0.4  # share of the images that are out of focus
    resolution: int = 64  # smaller images are rendered with at least this shorter side and averaged
