"""EC2T's super-network (Marban et al. 2020, section 3.1): its knobs; the graph is enlarged by `workers.ir.channels.net2net`."""

from typing import ClassVar, Literal

from pydantic import Field

from workers.methods.problem import Pass


class SuperNetwork(Pass):
    """A wider and deeper network that computes the same; more weights then share the burden of being ternary (EC2T, step 1)."""

    exact: ClassVar[bool] = True
    opens: ClassVar[bool] = True

    method: Literal["super_network"] = "super_network"
    width: float = Field(
        default=1.4, ge=1, le=4, description="w: channels are split until there are so many times as many, in multiples of 8."
    )
    depth: float = Field(
        default=1.0, ge=1, le=4, description="d: identity layers are inserted until there are so many times as many layers."
    )
    phi: float = Field(default=1.0, ge=0, le=8, description="Compound scaling: width and depth are raised to this power.")
