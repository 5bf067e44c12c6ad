"""From a model in memory to files, and the proof that they are the same."""
