"""The graph of a model: its layers as matrices, its constants, its names, and where it may be cut."""
