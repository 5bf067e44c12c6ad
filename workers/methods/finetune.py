"""End-to-end distillation: its knobs; `workers.training` does the work, with torch."""

from typing import ClassVar, Literal

from pydantic import Field

from workers.methods.problem import Pass

MANY, FEW = 64, 16  # samples of a training step, where a machine runs that many at once and where it does not
STEPS_OF_MANY, STEPS_OF_FEW = 2000, 700  # of these: about ten minutes of two threads for EfficientNet-Lite0


class Finetune(Pass):
    """The compressed model learns to answer as the original does, its weights never leaving their allowed set."""

    needs_package: ClassVar[str | None] = "torch"

    trains: ClassVar[bool] = True

    method: Literal["finetune"] = "finetune"
    steps: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Steps of the optimiser (Adam); 2000 when absent, 700 of large images."
    )
    max_time: float | None = Field(
        default=None,
        gt=0,
        le=7 * 86400,
        description="Seconds after which training is over, if `steps` are not done before; bytes then depend on the machine.",
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Samples of a step; 64 when absent, 16 of large images."
    )
    learning_rate: float = Field(
        default=2e-3,
        gt=0,
        le=1,
        description="Relative to the size of a layer's weights, falling to 0 as a cosine; centroids get a tenth.",
    )
    blockwise: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the training in which each block learns alone, from what the blocks before give it, to give what "
        "the original's gives. When absent a quarter after pruning, and none where weights are quantised.",
    )
    temperature: float = Field(default=2.0, ge=1, le=20, description="Softens the class probabilities that are compared.")
    feature_weight: float = Field(
        default=1.0, ge=0, le=100, description="Weight of the error in what layers read, beside that of the outputs."
    )
    label_weight: float = Field(
        default=0.0, ge=0, le=1, description="Share of the loss that is cross-entropy with the labels of the dataset."
    )
    augment: bool = Field(
        default=True,
        description="Train on parts of images, mirrored and blended with others; fractals are also drawn anew.",
    )

    def settled(self, at_once: int) -> "Finetune":
        """With steps and samples of a step, where they are left open and a machine runs `at_once` samples at once."""
        size, steps = (MANY, STEPS_OF_MANY) if at_once >= MANY else (FEW, STEPS_OF_FEW)
        return self.model_copy(update={"batch_size": self.batch_size or size, "steps": self.steps or steps})
