"""The form of an inspection: it was written by a process that a hostile model may have taken over, and pages read it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workers.errors import Internal
from workers.jobs.job import Kind

Count = Annotated[int, Field(ge=0, lt=2**53)]
Text = Annotated[str, Field(max_length=10_000)]
Axes = Annotated[tuple[int, ...], Field(max_length=64)]


class _Found(BaseModel):
    """What is read by name has its form; more may be told."""

    model_config = ConfigDict(extra="allow", strict=True)


class FoundInput(_Found):
    """An input of a model."""

    name: Text
    shape: Axes = Field(strict=False)


class FoundLayer(_Found):
    """A layer that can be compressed; its work is null where it depends on the data."""

    name: Text
    type: Text
    shape: Axes = Field(strict=False)
    weights: Count
    columns: Count | None = None
    operations: list[Text] | None = None
    known_as: list[Text] | None = None
    types: list[Text] | None = None
    macs: Count | None
    outputs: Count | None


class FoundSkipped(BaseModel):
    """A layer that is left as it is, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Text
    type: Text
    reason: Text


class FoundSpeed(_Found):
    """How fast the machine is, on the model and by itself."""

    import_s: Annotated[float, Field(ge=0)]
    compile_s: Annotated[float, Field(ge=0)]
    inference_s: Annotated[float, Field(ge=0)]
    sorting_s: Annotated[float, Field(ge=0)]


class FoundModel(_Found):
    """What is in a model."""

    format: Text
    bytes: Count
    precision: Literal["f16", "f32"]
    parameters: Count
    operations: Count
    inputs: list[FoundInput]
    layers: list[FoundLayer]
    skipped: list[FoundSkipped]
    speed: FoundSpeed | None = None  # earlier versions did not tell
    raw_pixels: Annotated[float, Field(ge=0)] | None = None


class FoundArray(_Found):
    """An array of a dataset, with the range of its values."""

    name: Text
    shape: Axes = Field(strict=False)
    type: Text
    least: float | None
    most: float | None


class FoundDataset(_Found):
    """What is in a dataset."""

    samples: Count
    labels: Text | None = None
    labels_from: Text | None = None
    arrays: list[FoundArray] = []
    sizes: dict[Text, Count] = {}
    classes: dict[Text, Count] = {}
    problems: list[Text] = []
    thumbnails: Count = 0


FORMS: dict[Kind, type[_Found]] = {Kind.INSPECT: FoundModel, Kind.INSPECT_DATASET: FoundDataset}


def checked(kind: Kind, inspection: dict[str, Any]) -> dict[str, Any]:
    """The inspection of a job of that kind as it is, if pages can read it. Raises Internal."""
    try:
        FORMS[kind].model_validate(inspection)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Internal(f"The job ended with an inspection.json that is none: {where}: {error.errors()[0]['msg']}.") from error
    return inspection
