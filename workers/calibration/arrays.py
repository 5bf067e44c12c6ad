"""Samples from an .npz file: images in uint8, or arrays in the form of the model's inputs."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.archives import open_zip
from workers.calibration.image_decoding import MODES, fit
from workers.calibration.preprocessing import ImageInput
from workers.calibration.samples import Numbers, Rows
from workers.errors import DataMismatch, NonFiniteData, UnreadableData, UnsafeArchive
from workers.ir.reading.inputs import Input
from workers.recipe import Preprocessing

Array = NDArray[Any]

CHUNK_BYTES = 64 * 2**20
IMAGES, LABELS = "x", "y"  # names in the file


def open_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by name, mapped into memory from files that no other process sees.

    Raises UnsafeArchive for Python objects, UnreadableData for damage and for anything but numbers.
    """
    with TemporaryDirectory(prefix="fractune-data-") as folder, open_zip(path, UnreadableData) as (archive, entries):
        arrays = {}
        for index, entry in enumerate(entries):
            file = Path(folder) / f"{index}.npy"
            with archive.open(entry) as packed, file.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 2**20)
            arrays[entry.filename.removesuffix(".npy")] = _mapped(file, entry.filename)
        return arrays


def _mapped(file: Path, name: str) -> Array:
    try:
        array: Array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, TypeError, OverflowError, OSError, EOFError) as error:
        if "Python objects" in str(error):
            raise UnsafeArchive(f"The array {name!r} holds pickled Python objects, which could run code.") from error
        raise UnreadableData(f"The array {name!r} cannot be read: {error}.") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise UnreadableData(f"The array {name!r} holds {array.dtype} of shape {array.shape}; samples are arrays of numbers.")
    return array


def match_arrays(arrays: Mapping[str, Array], inputs: tuple[Input, ...]) -> dict[str, Array]:
    """The array of every input: by one of its names, or `x` where there is one. Raises DataMismatch for what is missing."""
    names = [entry.name for entry in inputs]
    found = {entry.name: next((n for n in (entry.name, *entry.names) if n in arrays), None) for entry in inputs}
    missing = [name for name in names if found[name] is None]
    if missing and len(names) == 1 and IMAGES in arrays:
        return {names[0]: arrays[IMAGES]}
    if missing:
        held = ", ".join(sorted(arrays)) or "nothing"
        hint = f"Give one array for each of the inputs {', '.join(names)}."
        raise DataMismatch(f"The file holds {held}; arrays are missing for the inputs {', '.join(missing)}.", hint=hint)
    return {name: arrays[key] for name, key in found.items() if key is not None}


def length(arrays: Mapping[str, Array]) -> int:
    """The number of samples that all arrays agree on. Raises DataMismatch, UnreadableData if it is zero."""
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise DataMismatch(
            f"The arrays hold different numbers of samples ({listed}).", hint="Give one row per sample in each array."
        )
    count = next(iter(counts.values()))
    if count == 0:
        raise UnreadableData("The dataset is empty.")
    return count


def is_images(array: Array, entry: Input) -> bool:
    """Whether an array holds pixels for an image input, rather than values in the form of the input."""
    given_as_input = entry.dtype == np.uint8 and array.shape[1:] == entry.item and array.shape[-1] not in MODES
    return array.dtype == np.uint8 and array.ndim in (3, 4) and not given_as_input


def image_rows(array: Array, image: ImageInput, declared: Preprocessing) -> Rows:
    """Pixels (n, height, width, channels) of the model's size from uint8 (n, h, w, channels) or, for grey images, (n, h, w).

    Raises DataMismatch where sizes differ and no resize or crop is declared, or channels differ.
    """
    pixels = array[..., None] if array.ndim == 3 else array
    if pixels.shape[3] != image.channels:
        raise _mismatch(image.name, array.shape[1:], image.picture, "Convert the images to the channels of the model.")
    if declared.resize is None and declared.crop is None:
        if pixels.shape[1:] != image.picture:
            raise _mismatch(image.name, array.shape[1:], image.picture, scaling(min(image.height, image.width)))
        return lambda numbers: np.asarray(pixels[numbers])
    if image.channels not in MODES:
        raise DataMismatch(f"Images of {image.channels} channels cannot be resized.", hint="Give them in the model's size.")

    def scaled(number: int) -> NDArray[np.uint8]:
        picture = Image.fromarray(pixels[number].squeeze(-1) if image.channels == 1 else pixels[number])
        return fit(picture, f"sample {number}", image.height, image.width, declared)

    return lambda numbers: np.stack([scaled(int(number)) for number in numbers])


def value_rows(array: Array, entry: Input, taken: Numbers) -> Rows:
    """Rows of an array that is in the form of the input already; the samples that are `taken` are checked.

    Raises DataMismatch for other shapes, types and token numbers, NonFiniteData naming the sample.
    """
    shape = entry.item
    accepted = {shape, shape[1:]} if shape[:1] == (1,) and entry.batch_axis is None else {shape}
    if array.shape[1:] not in accepted:
        raise _mismatch(entry.name, array.shape[1:], shape, "Give arrays in the form of the model's input, or uint8 images.")
    if not np.can_cast(array.dtype, entry.dtype, "same_kind") and not (array.dtype.kind in "iu" and entry.dtype.kind in "iu"):
        raise DataMismatch(f"The samples for input {entry.name!r} are {array.dtype}, and the model takes {entry.dtype}.")
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(taken), step):
        _check_values(np.asarray(array[taken[start : start + step]]), entry, taken[start : start + step])

    def rows(numbers: Numbers) -> Array:
        return np.ascontiguousarray(array[numbers].reshape(len(numbers), *shape), entry.dtype)

    return rows


def _check_values(values: Array, entry: Input, numbers: Numbers) -> None:
    if values.dtype.kind == "f":
        finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
        if not finite.all():
            raise NonFiniteData(f"Sample {numbers[finite.argmin()]} for input {entry.name!r} holds NaN or infinity.")
    elif entry.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        limits = np.iinfo(entry.dtype)
        least, most = (0, entry.vocabulary - 1) if entry.vocabulary is not None else (int(limits.min), int(limits.max))
        if low < least or high > most:
            found = f"values from {low} to {high}"
            raise DataMismatch(f"The samples for input {entry.name!r} hold {found}; the model takes {least} to {most}.")


def _mismatch(name: str, given: tuple[int, ...], wanted: tuple[int, ...], hint: str) -> DataMismatch:
    sizes = " and ".join("x".join(map(str, shape)) or "single values" for shape in (given, wanted))
    return DataMismatch(f"The samples and input {name!r} differ in size: {sizes}.", hint=_moved(name, given, wanted) or hint)


def _moved(name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> str | None:
    """What helps where channels lie in front instead of behind, or the other way round."""
    moves = {(*given[1:], *given[:1]): "1, -1", (*given[-1:], *given[:-1]): "-1, 1"}
    if len(given) < 2 or wanted not in moves:
        return None
    array = name if name.isidentifier() else "x"
    return f"The axes lie in another order: {array} = np.moveaxis({array}, {moves[wanted]}) gives what the model takes."


def not_samples(path: Path) -> UnreadableData:
    """The error for a file that is nothing samples are read from."""
    reading = {".npy": f"np.load({path.name!r})", ".csv": f"np.loadtxt({path.name!r}, np.float32, delimiter=',')"}
    call = reading.get(path.suffix.lower())
    hint = f"One array alone: np.savez('samples.npz', x={call})." if call else None
    return UnreadableData(f"{path.name!r} is no .npz, no zip of images and no folder of images.", hint=hint)


def scaling(side: int) -> str:
    """What helps where images have another size than the model's input."""
    knob = f"preprocessing.resize={side}"
    return f"Give images of that size, or have them scaled: {knob} in the recipe, or --set {knob}."
