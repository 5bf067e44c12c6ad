"""Fractune from Python: compress a trained network here, or hand it to a service.

`pip install fractune` brings the client, recipes and fractal images; `optimize` needs `fractune[worker]`.
"""

from fractal_data import fractal_images
from fractune.optimization import Optimized, optimize
from service.client import Client
from workers.errors import FractuneError
from workers.recipe import Recipe

__all__ = ["Client", "FractuneError", "Optimized", "Recipe", "fractal_images", "optimize"]
