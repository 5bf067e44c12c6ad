"""8-bit weights and activations through NNCF: the parameters of `nncf.quantize`; `workers.passes.int8` calls it."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from workers.methods.ignored_scope import IgnoredScope, Names
from workers.methods.problem import Pass


class SmoothQuantAlphas(BaseModel):
    """How far SmoothQuant moves the range of activations into the weights, 0 to 1; negative switches it off."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    convolution: float = Field(default=-1.0, le=1, description="For convolutions.")
    matmul: float = Field(default=0.95, le=1, description="For matrix products; used with model_type `transformer`.")


class AdvancedParameters(BaseModel):
    """NNCF's AdvancedQuantizationParameters, as far as they keep zeros zero and int8 kernels in use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overflow_fix: Literal["enable", "first_layer_only", "disable"] | None = Field(
        default=None, description="Halve the range of weights for processors without VNNI: everywhere, first layers, nowhere."
    )
    quantize_outputs: bool = Field(default=False, description="Also quantise what the model returns.")
    disable_bias_correction: bool = Field(default=False, description="Leave biases as they are.")
    smooth_quant_alphas: SmoothQuantAlphas = Field(default=SmoothQuantAlphas(), description="Strength of SmoothQuant.")


class Int8(Pass):
    """8-bit weights and activations, by NNCF's post-training quantisation; the last step, and the one that gives speed."""

    closes: ClassVar[bool] = True

    method: Literal["int8"] = "int8"
    preset: Literal["performance", "mixed"] | None = Field(
        default=None,
        description="Activations symmetric, or asymmetric where that suits; `mixed` for transformers when absent.",
    )
    subset_size: int = Field(default=300, ge=1, le=100_000, description="Calibration samples that are used, from the first on.")
    fast_bias_correction: bool = Field(
        default=True, description="Correct biases from mean inputs alone; if not, from whole inferences: slower."
    )
    target_device: Literal["ANY", "CPU", "CPU_SPR"] = Field(default="CPU", description="What NNCF quantises for.")
    model_type: Literal["auto", "transformer"] | None = Field(
        default="auto",
        description="`transformer` spares attention and layer normalisation, and uses SmoothQuant; `auto`, not NNCF's, "
        "chooses it for models that normalise layers; null never does.",
    )
    rounding: Literal["nearest", "reconstruction"] = Field(
        default="nearest",
        description="Weights become the `nearest` integers, as in NNCF, or those chosen against each layer's outputs, kept "
        "where samples that chose nothing confirm it. Scales and kernels are the same.",
    )
    ignored_scope: IgnoredScope = Field(
        default=IgnoredScope(), description="Operations that stay in floating point, besides the recipe's ignored_scope."
    )
    reverted: Names = Field(
        default=(),
        max_length=10_000,
        description="Operations taken back to floating point once the model is quantised: what a search has chosen.",
    )
    advanced_parameters: AdvancedParameters = Field(default=AdvancedParameters(), description="As in NNCF.")

    @property
    def expected_bits(self) -> float:
        """Eight."""
        return 8.0

    @property
    def own_scope(self) -> IgnoredScope:
        """Besides the recipe's."""
        return self.ignored_scope
