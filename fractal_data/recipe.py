"""The knobs of the image generator."""

from dataclasses import dataclass, fields
from typing import Final

# What a knob, or both ends of its range, must lie within.
LIMITS: Final[dict[str, tuple[float, float]]] = {
    "fractals": (0, 64),
    "maps": (2, 16),
    "copies": (0, 16),
    "smallest": (1, 1024),
    "largest": (0.01, 16),
    "solidity": (0, 1),
    "spectrum": (0, 8),
    "correlation": (0, 1),
    "saturation": (0, 16),
    "contrast": (0, 1),
    "brightness": (0, 1),
    "cast": (0, 1),
    "softness": (0, 1),
    "resolution": (1, 1024),
}


@dataclass(frozen=True, slots=True)
class FractalRecipe:
    """What the images are like. A pair is the range that every image or fractal draws from; ValueError beyond LIMITS."""

    fractals: tuple[int, int] = (2, 5)  # different fractals an image; (0, 0) leaves the background
    maps: tuple[int, int] = (2, 4)  # affine maps of a fractal
    copies: tuple[float, float] = (0.9, 2.2)  # of all fractals together, per octave of scale; each has its own view and colours
    smallest: float = 12.0  # diameter of a copy in pixels; log-uniform up to the largest: the mix of scales
    largest: float = 2.0  # diameter of a copy over the shorter side
    solidity: float = 0.8  # share of the copies whose gaps are filled
    spectrum: tuple[float, float] = (3.0, 4.5)  # exponent of the background's power spectrum
    correlation: float = 0.9  # average correlation of two channels, at saturation 1
    saturation: float = 1.0  # multiplies the chroma; 0 is grey
    contrast: tuple[float, float] = (0.12, 0.28)  # deviation of the background within an image, over the range of a pixel
    brightness: float = 0.45  # mean of a pixel, over its range
    cast: float = 0.12  # deviation of the mean colour between images, over the range of a pixel
    softness: float = 0.3  # share of the images that are out of focus: rendered at half the resolution and enlarged
    resolution: int = 64  # smaller images are rendered with at least this shorter side and averaged

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            first, last = value if isinstance(value, tuple) else (value, value)
            low, high = LIMITS[knob.name]
            if not low <= first <= last <= high:
                raise ValueError(f"{knob.name} must lie in {low}..{high} and a range must ascend; got {value}")
