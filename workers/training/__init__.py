"""Training without labels: a compressed model, made differentiable, learns to answer as the original does."""
