"""Monte Carlo quantisation of activations (Mordido et al. 2019): its knobs; the graph is built by `workers.passes`."""

from typing import Annotated, Literal

from pydantic import Field

from workers.methods.problem import Pass

Samples = Annotated[float, Field(gt=0, le=1024)]


class McqActivations(Pass):
    """Integers that count the samples hitting each activation (Mordido et al. 2019); for studies of accuracy, not for speed."""

    method: Literal["mcq_activations"] = "mcq_activations"
    samples_per_activation: Samples = Field(default=1.0, description="K_a: samples drawn per element of an activation.")
    layers: dict[str, Samples] = Field(
        default_factory=dict, description="Another K_a for some activations, by the name of the operation."
    )
