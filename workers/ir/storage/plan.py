"""A way to store a tensor, before it is built: what it would cost, and how to build the operations that decode it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import openvino as ov

from workers.ir.storage.graph import Graph

NODE_BYTES = 330  # of .xml for one operation and its edges: the mean over the schemes, measured by benchmarks/storage.py


@dataclass(frozen=True, slots=True)
class StoragePlan:
    """One encoding of one tensor."""

    scheme: str
    bytes: int  # of constants
    nodes: int  # operations, constants included
    build: Callable[[Graph], ov.Output]  # decodes to exactly the tensor

    @property
    def cost(self) -> int:
        """Bytes on disk, as far as they can be told before writing."""
        return self.bytes + NODE_BYTES * self.nodes


def cheapest(plans: Iterable[StoragePlan]) -> StoragePlan:
    """The plan that takes the fewest bytes; the first of equals."""
    return min(plans, key=lambda plan: plan.cost)
