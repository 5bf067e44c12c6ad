"""What a user asks for: the recipe, the scope that it leaves alone, and the forecast of what it will come to."""

from workers.recipe.recipe import BenchmarkSettings, Calibration, Constraint, Pareto, Preprocessing, Recipe, Search

__all__ = ["BenchmarkSettings", "Calibration", "Constraint", "Pareto", "Preprocessing", "Recipe", "Search"]
