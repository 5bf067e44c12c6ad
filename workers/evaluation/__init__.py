"""What a compressed model is worth: how far it follows the original, and how fast both are."""
