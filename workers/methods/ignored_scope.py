"""Which operations to leave alone: NNCF's IgnoredScope, as data."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(max_length=1000)]
Names = tuple[Name, ...]


class Subgraph(BaseModel):
    """All operations on any path from one of `inputs` to one of `outputs`, these included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Names = Field(min_length=1, max_length=100, description="Names of operations.")
    outputs: Names = Field(min_length=1, max_length=100, description="Names of operations.")


class IgnoredScope(BaseModel):
    """Operations to leave alone; keys and meaning as in NNCF."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    names: Names = Field(default=(), max_length=10_000, description="Names of operations, letter for letter.")
    patterns: Names = Field(
        default=(), max_length=100, description="Regular expressions (RE2), matched from a name's first letter."
    )
    types: Names = Field(default=(), max_length=200, description="OpenVINO operation types, such as Convolution.")
    subgraphs: tuple[Subgraph, ...] = Field(
        default=(), max_length=100, description="All that lies between some operations and others."
    )
    validate_: bool = Field(default=True, alias="validate", description="Refuse a rule that matches nothing.")


class LayerSettings(BaseModel):
    """Other knobs of a step for some layers: `scope` selects these as an ignored scope does, beside it stand the knobs."""

    model_config = ConfigDict(frozen=True, extra="allow", serialize_by_alias=True)

    scope: IgnoredScope = Field(description="Which layers; a layer that several select goes by the first.")
