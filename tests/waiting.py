"""How tests wait: for what is to happen, for as long as a machine with other work to do may take over it."""

import time
from collections.abc import Callable

PATIENCE_S = 180.0  # nothing takes so long; who waits for it has found a fault, not a slow machine


def until(condition: Callable[[], object], pause_s: float = 0.02) -> None:
    """Return once the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(pause_s)
