"""Layers that stay as they are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SkippedLayer:
    """A layer with weights that is left as it is, and why."""

    name: str
    type: str
    reason: str
