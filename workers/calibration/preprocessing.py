"""From 0..255 pixels to what an image input takes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.errors import DataMismatch, InvalidRecipe
from workers.ir.reading.inputs import Input
from workers.recipe import Preprocessing
from workers.recipe.assumptions import BYTES_ASSUMED, IMAGENET_ASSUMED

IMAGENET_MEAN: tuple[float, ...] = (123.675, 116.28, 103.53)  # RGB, in units of 0..255
IMAGENET_SCALE: tuple[float, ...] = (58.395, 57.12, 57.375)

ASSUMED = "No mean_values and scale_values are declared"  # begins what is said where they are assumed
HINT = "Correct the recipe's preprocessing, or leave it out."


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How pixels become one input: channels in `color_order`, then (x - mean) / scale, then the layout and type."""

    name: str
    height: int
    width: int
    channels: int
    layout: Literal["NCHW", "NHWC"]
    color_order: Literal["RGB", "BGR"]
    mean_values: tuple[float, ...]  # one per channel, in the model's order of channels
    scale_values: tuple[float, ...]
    dtype: np.dtype[Any]
    item: tuple[int, ...]  # the shape of one sample

    @property
    def picture(self) -> tuple[int, int, int]:
        """(height, width, channels) of the pixels of one sample."""
        return self.height, self.width, self.channels

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The input (n, *item) for pixels (n, height, width, channels), RGB where they have colours."""
        colours = pixels[..., ::-1] if self.color_order == "BGR" and self.channels == 3 else pixels
        ordered = np.ascontiguousarray(colours.transpose(0, 3, 1, 2) if self.layout == "NCHW" else colours)
        if self.dtype == np.uint8:
            return ordered.reshape(len(pixels), *self.item)
        shape = (-1, 1, 1) if self.layout == "NCHW" else (-1,)
        values = ordered.astype(np.float32)
        values -= np.array(self.mean_values, np.float32).reshape(shape)
        values /= np.array(self.scale_values, np.float32).reshape(shape)
        return values.astype(self.dtype, copy=False).reshape(len(pixels), *self.item)

    def record(self) -> dict[str, Any]:
        """What is applied, for the report."""
        return {key: value for key, value in asdict(self).items() if key not in ("name", "dtype", "item")}


def alternatives(image: ImageInput) -> dict[str, ImageInput]:
    """What models are commonly fed with instead, by what a person would call it; nothing that is the same."""
    mean, scale = IMAGENET_MEAN, IMAGENET_SCALE
    if image.color_order == "BGR":
        mean, scale = mean[::-1], scale[::-1]
    usual: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
        "raw 0..255": ((0.0,), (1.0,)),
        "0..1": ((0.0,), (255.0,)),
        "-1..1": ((127.5,), (127.5,)),
    }
    if image.channels == len(mean):
        usual["ImageNet's mean and standard deviation"] = mean, scale
    found = (
        {}
        if image.dtype == np.uint8
        else {
            what: replace(
                image, mean_values=shift * (image.channels // len(shift)), scale_values=by * (image.channels // len(by))
            )
            for what, (shift, by) in usual.items()
        }
    )
    if image.channels == len(mean):
        other: Literal["RGB", "BGR"] = "BGR" if image.color_order == "RGB" else "RGB"
        found[f"{other} in place of {image.color_order}"] = replace(image, color_order=other)
    return {what: made for what, made in found.items() if made != image}


def spelt(what: str) -> str:
    """The knobs of an alternative, as --set takes them."""
    if " in place of " in what:
        return f"preprocessing.color_order={what[:3]}"
    mean, scale = {"raw 0..255": ("[0]", "[1]"), "0..1": ("[0]", "[255]"), "-1..1": ("[127.5]", "[127.5]")}.get(
        what, (str(list(IMAGENET_MEAN)), str(list(IMAGENET_SCALE)))
    )
    return f"preprocessing.mean_values={mean} and preprocessing.scale_values={scale}".replace(", ", ",")


def image_input(entry: Input, declared: Preprocessing) -> tuple[ImageInput, tuple[str, ...]] | None:
    """How to prepare images for an input, with what is to be said about assumptions; None if it does not take images.

    Raises InvalidRecipe for values that do not fit the input.
    """
    layout = _layout(entry, declared)
    if layout is None:
        return None
    sizes = dict(zip(layout, entry.shape, strict=True))
    mean, scale, notes = _normalisation(entry, declared, sizes["C"])
    made = ImageInput(
        name=entry.name,
        height=sizes["H"],
        width=sizes["W"],
        channels=sizes["C"],
        layout=layout,
        color_order=declared.color_order,
        mean_values=mean,
        scale_values=scale,
        dtype=entry.dtype,
        item=entry.item,
    )
    _check_crop(made, declared)
    return made, notes


def _layout(entry: Input, declared: Preprocessing) -> Literal["NCHW", "NHWC"] | None:
    if len(entry.shape) != 4 or entry.shape[0] != 1 or not (entry.dtype.kind == "f" or entry.dtype == np.uint8):
        return None
    return declared.layout or entry.layout


def _normalisation(
    entry: Input, declared: Preprocessing, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    mean, scale = declared.mean_values, declared.scale_values
    if entry.dtype == np.uint8:
        if mean is not None or scale is not None:
            raise InvalidRecipe(f"Input {entry.name!r} takes bytes: mean_values and scale_values do not apply.", hint=HINT)
        return (0.0,) * channels, (1.0,) * channels, ()
    if mean is None and scale is None:
        return _assumed(entry.name, declared, channels)
    return _per_channel("mean_values", mean or (0.0,), channels), _per_channel("scale_values", scale or (1.0,), channels), ()


def _assumed(name: str, declared: Preprocessing, channels: int) -> tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    if channels == 3:
        mean, scale = IMAGENET_MEAN, IMAGENET_SCALE
        if declared.color_order == "BGR":
            mean, scale = mean[::-1], scale[::-1]
        what = IMAGENET_ASSUMED
    else:
        mean, scale = (0.0,) * channels, (255.0,) * channels
        what = BYTES_ASSUMED
    return mean, scale, (f"{ASSUMED} for input {name!r}: {what}.",)


def _per_channel(what: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) not in (1, channels):
        raise InvalidRecipe(f"{what} has {len(values)} values, and the model's images have {channels} channels.", hint=HINT)
    return tuple(values) * (channels // len(values))


def _check_crop(image: ImageInput, declared: Preprocessing) -> None:
    size = f"{image.height}x{image.width}"
    if declared.crop is not None and (declared.crop, declared.crop) != (image.height, image.width):
        raise DataMismatch(f"preprocessing.crop is {declared.crop}x{declared.crop}, and input {image.name!r} is {size}.")
    if declared.resize is not None and declared.resize < min(image.height, image.width):
        raise DataMismatch(
            f"preprocessing.resize is {declared.resize}, and the shorter side of input {image.name!r} ({size}) is longer."
        )


def unused(declared: Preprocessing, any_images: bool) -> tuple[str, ...]:
    """What is to be said when a recipe declares preprocessing and no sample is an image."""
    return (
        ()
        if any_images or declared == Preprocessing()
        else ("The declared preprocessing was not used: no sample is an image.",)
    )
