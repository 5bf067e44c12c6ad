"""The catalogue: every step a recipe can name."""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from workers.methods.ec2t import Ec2t
from workers.methods.finetune import Finetune
from workers.methods.inq import Inq
from workers.methods.int8 import Int8
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mcq import Mcq
from workers.methods.mcq_activations import McqActivations
from workers.methods.mlq import Mlq
from workers.methods.problem import Step
from workers.methods.slq import Slq
from workers.methods.super_network import SuperNetwork
from workers.methods.uniform import Uniform
from workers.methods.weight_compression import WeightCompression

METHODS: tuple[type[Step], ...] = (  # a line for every step, in the order in which they are shown
    SuperNetwork,
    LayerwisePruning,
    Mcq,
    Inq,
    Slq,
    Mlq,
    Ec2t,
    Uniform,
    Int8,
    WeightCompression,
    McqActivations,
    Finetune,
)

if TYPE_CHECKING:
    AnyStep = Step
else:
    AnyStep = Annotated[Union[METHODS], Field(discriminator="method")]  # noqa: UP007 - the members are data
