"""Synthetic images for calibration: fractals in front of noise, with the statistics of photographs. See docs/fractals.md."""

from fractal_data.export import export
from fractal_data.images import fractal_image, fractal_images
from fractal_data.recipe import FractalRecipe
from fractal_data.sheet import contact_sheet

__all__ = ["FractalRecipe", "contact_sheet", "export", "fractal_image", "fractal_images"]
