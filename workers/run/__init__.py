"""One job from its recipe to its results: the stages, the candidates among which it chooses, and the report."""
