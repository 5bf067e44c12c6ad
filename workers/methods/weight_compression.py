"""Weights that stay compressed as the model runs: the parameters of `nncf.compress_weights`, called by `workers.passes`."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from workers.methods.ignored_scope import LayerSettings
from workers.methods.problem import Pass, PerLayer

BITS = {"int8_asym": 8.0, "int8_sym": 8.0, "int4_asym": 4.0, "int4_sym": 4.0, "nf4": 4.0}
GROUP_SIZE = 128  # NNCF's, in 4 bits
SCALE_BITS = 16.0  # of a group's scale
ONLY_4_BIT = (
    *("ratio", "group_size", "all_layers", "backup_mode", "awq", "scale_estimation", "gptq"),
    *("sensitivity_metric", "advanced_parameters"),
)  # knobs


class CompressionParameters(BaseModel):
    """NNCF's AdvancedCompressionParameters, as far as they concern storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_size_fallback_mode: Literal["error", "ignore", "adjust"] = Field(
        default="adjust",
        description="Where the columns of a layer are no multiple of group_size: stop, leave the layer to backup_mode, or take "
        "the largest power of two that divides them. `adjust`, not NNCF's, when absent.",
    )


class WeightCompression(PerLayer, Pass):
    """Weights in 8 or 4 bits, embeddings included, decoded as they are used: less memory, activations untouched (NNCF)."""

    closes: ClassVar[bool] = True
    compresses_tables: ClassVar[bool] = True
    runs_compressed: ClassVar[bool] = True

    method: Literal["weight_compression"] = "weight_compression"
    mode: Literal["int8_asym", "int8_sym", "int4_asym", "int4_sym", "nf4"] = Field(
        default="int8_asym",
        description="8 bits by channel, 4 bits or 4-bit normal float by group; `sym` without a zero point, so that zeros of an "
        "earlier step stay zero.",
    )
    ratio: float | None = Field(
        default=None, ge=0, le=1, description="Share of the weights in 4 bits, the least sensitive ones; all when absent."
    )
    group_size: int | None = Field(
        default=None, ge=-1, description=f"Columns that share a scale; -1: a whole channel; {GROUP_SIZE} when absent."
    )
    all_layers: bool | None = Field(
        default=None, description="4 bits in embeddings and the last layer too, which else have those of backup_mode."
    )
    backup_mode: Literal["none", "int8_sym", "int8_asym"] | None = Field(
        default=None, description="For what is not in 4 bits: `none` leaves it as it is; int8_asym when absent."
    )
    awq: bool | None = Field(default=None, description="Scale channels by their activations first (AWQ).")
    scale_estimation: bool | None = Field(default=None, description="Fit the scales to the layers' outputs.")
    gptq: bool | None = Field(default=None, description="Round column by column against the Hessian (GPTQ).")
    sensitivity_metric: (
        Literal[
            "weight_quantization_error",
            "hessian_input_activation",
            "mean_activation_variance",
            "max_activation_variance",
            "mean_activation_magnitude",
        ]
        | None
    ) = Field(default=None, description="By what `ratio` chooses; all but the first need calibration samples.")
    subset_size: int = Field(default=128, ge=1, le=100_000, description="Calibration samples that are used, from the first on.")
    advanced_parameters: CompressionParameters = Field(default=CompressionParameters(), description="As in NNCF.")

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if self.group_size == 0:
            raise ValueError("group_size must be -1, for a whole channel, or at least 1")
        given = [name for name in ONLY_4_BIT if getattr(self, name) != type(self).model_fields[name].default]
        if BITS[self.mode] == 8 and given:
            raise ValueError(f"{', '.join(given)}: only for 4 bits, and the mode is {self.mode}")
        return self

    @property
    def expected_bits(self) -> float:
        """Those of the mode, and of the backup for what is not in 4 bits."""
        share = 1.0 if self.ratio is None else self.ratio
        group = GROUP_SIZE if self.group_size is None else self.group_size
        scales = SCALE_BITS / group if BITS[self.mode] == 4 and group > 0 else 0.0
        return share * (BITS[self.mode] + scales) + (1 - share) * (32.0 if self.backup_mode == "none" else 8.0)

    @property
    def expected_channel_bits(self) -> float:
        """One scale."""
        return SCALE_BITS

    def set_for(self, settings: LayerSettings) -> Self:
        """As of every step; a layer that is named has the bits that are asked for, be it the last one or a table."""
        bits = BITS.get((settings.model_extra or {}).get("mode", self.mode))
        only_4_bit = {name: type(self).model_fields[name].default for name in ONLY_4_BIT}
        named = super(WeightCompression, self.model_copy(update=only_4_bit if bits == 8 else {})).set_for(settings)
        return named.model_copy(update={"all_layers": True}) if bits == 4 and named.all_layers is None else named

    @property
    def needs_samples(self) -> bool:
        """Whether activations have a say in it."""
        by_activations = self.sensitivity_metric not in (None, "weight_quantization_error")
        return bool(self.awq or self.scale_estimation or self.gptq or by_activations)
