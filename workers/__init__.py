"""The domain: from a model and a recipe to a compressed model, its report and its benchmark; and the processes that do it."""
