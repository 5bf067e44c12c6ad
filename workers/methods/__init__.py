"""The catalogue: every step a recipe can name."""

from typing import Annotated

from pydantic import Field

from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.problem import Step

METHODS: tuple[type[Step], ...] = (LayerwisePruning,)

AnyStep = Annotated[LayerwisePruning, Field(discriminator="method")]
