"""Who asks, what they may do, how often, and the log of what they did."""
