"""A PyTorch module as an ONNX file that the service reads, written and checked where the module is: no pickle leaves it."""

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from workers.errors import NotExportable

OPSET = 18  # the least that the exporter of torch writes without a conversion
ALIKE = 1e-3  # norm of the difference of two answers that count as the same, of their own norm
SEED = 26


@dataclass(frozen=True, slots=True)
class Written:
    """What an export has come to."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    open_batch: bool
    difference: float  # norm of the difference between the answers of torch and of the file, of the norm of torch's


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Give a module the tensors of a .pt file. Raises NotExportable for a file that holds more than tensors, or others."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NotExportable(
            f"{path.name!r} does not hold tensors only: {_line(error)}",
            hint="Save the weights with torch.save(model.state_dict(), ...): no file is opened that runs code as it is read.",
        ) from error
    weights = found.get("state_dict", found) if isinstance(found, Mapping) else found
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise NotExportable(f"The weights in {path.name!r} are not the module's: {_line(error)}") from error


def examples_of(shapes: Mapping[str, Sequence[int]]) -> tuple[torch.Tensor, ...]:
    """Normal values of these shapes, by input, in order."""
    rng = torch.Generator().manual_seed(SEED)
    return tuple(torch.randn(*shape, generator=rng) for shape in shapes.values())


def export_module(
    module: torch.nn.Module, examples: Sequence[torch.Tensor], path: Path, names: Sequence[str] = (), *, open_batch: bool = True
) -> Written:
    """Write `module` to `path` with its first axis open, and compare what the file answers with what torch answers.

    `names` are those of the inputs, the parameters of `forward` where there are none. Raises NotExportable where torch cannot
    export the module, or where the answers differ, on `examples` or on two of them stacked.
    """
    module = module.eval()
    inputs = tuple(names) or tuple(inspect.signature(module.forward).parameters)[: len(examples)]
    with torch.no_grad():
        answers = _flat(module(*examples))
    outputs = tuple(f"output_{number}" for number in range(len(answers))) if len(answers) > 1 else ("output",)
    axes = tuple({0: torch.export.Dim("batch")} if open_batch and tensor.ndim else None for tensor in examples)
    try:
        with _quiet():
            torch.onnx.export(
                module,
                tuple(examples),
                path,
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                dynamic_shapes=axes,
                verbose=False,
            )
    except Exception as error:
        hint = "Try --fixed-batch." if open_batch else "Correct what torch.onnx.export complains of."
        raise NotExportable(f"torch cannot export the module: {_line(error)}", hint=hint) from error
    try:
        difference = _checked(path, module, inputs, examples, open_batch=open_batch)
    except NotExportable:
        path.unlink()
        raise
    return Written(path, inputs, outputs, open_batch, difference)


def _checked(
    path: Path, module: torch.nn.Module, names: Sequence[str], examples: Sequence[torch.Tensor], *, open_batch: bool
) -> float:
    """The difference between file and module. Raises NotExportable where it is not but for rounding."""
    session = _session(path)
    difference = _difference(session, module, names, examples)
    if open_batch:
        twice = [torch.cat([tensor, tensor.flip(-1)]) if tensor.ndim else tensor for tensor in examples]
        difference = max(difference, _difference(session, module, names, twice))
    if not difference <= ALIKE:
        raise NotExportable(f"The file answers otherwise than torch: relative difference {difference:.2g}.")
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


Session = Callable[[dict[str, NDArray[Any]]], list[NDArray[Any]]]


def _session(path: Path) -> Session:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feed: list(session.run(None, {entry.name: feed[entry.name] for entry in session.get_inputs()}))


def _difference(session: Session, module: torch.nn.Module, names: Sequence[str], values: Sequence[torch.Tensor]) -> float:
    """The largest over the outputs; infinite where they have other shapes or the file does not run."""
    try:
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in _flat(module(*values))]
        found = session({name: tensor.numpy() for name, tensor in zip(names, values, strict=True)})
    except Exception as error:
        raise NotExportable(
            f"It does not run on {len(values[0])} samples: {_line(error)}", hint="Try --fixed-batch."
        ) from error
    if [value.shape for value in found] != [value.shape for value in expected]:
        return float("inf")
    pairs = [(before.astype(np.float64), after.astype(np.float64)) for before, after in zip(expected, found, strict=True)]
    return max(float(np.linalg.norm(before - after)) / max(float(np.linalg.norm(before)), 1e-12) for before, after in pairs)


def _flat(answer: Any) -> list[torch.Tensor]:
    """The tensors of an answer, in order."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, Mapping) else answer
    return [tensor for part in parts for tensor in _flat(part)]


def _line(error: BaseException) -> str:
    """The first words of an error."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300].rstrip(". ") + "."
