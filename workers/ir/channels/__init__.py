"""Which channels of a model belong together, and how they are removed or multiplied."""
