"""fractune export: a PyTorch module becomes an ONNX file on this machine, and may go to a service from there."""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated, Any

import typer

from service.terminal import remote
from service.terminal.console import messages, output
from service.terminal.recipes import parse_shapes
from workers.errors import NotExportable

Source = Annotated[
    str,
    typer.Argument(
        help="MODULE:CALLABLE or FILE.py:FUNCTION, called without arguments: a torch.nn.Module, or it and example inputs.",
    ),
]


def export(
    source: Source,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")] = Path("model.onnx"),
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="NAME[N,C,H,W]", help="An example input of this shape, of normal values; in order."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A state_dict saved by torch; opened with weights_only.")
    ] = None,
    fixed_batch: Annotated[bool, typer.Option("--fixed-batch", help="Leave the first axis as long as the example's.")] = False,
    upload: Annotated[bool, typer.Option("--upload", help="Upload the file too, and print its id.")] = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Write a PyTorch module as ONNX as the service needs it, and check that the file answers as the module does."""
    torch_export = import_module("service.torch_export")  # loads torch
    made = _called(source)
    module, given = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not hasattr(module, "state_dict"):
        raise NotExportable(f"{source} gives {type(module).__name__}, not a torch.nn.Module.")
    if weights:
        torch_export.load_weights(module, weights)
    shapes: Mapping[str, Any] = parse_shapes(shape or ())
    examples = torch_export.examples_of(shapes) if shapes else _as_tuple(given)
    if not examples:
        raise NotExportable("There is no example input.", hint="Give --shape, or return (module, examples).")
    names = [name for name in shapes if name]
    written = torch_export.export_module(module, examples, out, names, open_batch=not fixed_batch)
    axis = "open" if written.open_batch else "fixed"
    messages.print(
        f"{out}: inputs {', '.join(written.inputs)}; outputs {', '.join(written.outputs)}; batch {axis}; "
        f"differs from torch by {written.difference:.1e}.",
        markup=False,
        highlight=False,
    )
    if upload:
        with remote.connect(url, key) as client:
            output.print(client.upload_model(out), highlight=False)


def _called(source: str) -> Any:
    """What the callable that is named gives."""
    place, _, name = source.rpartition(":")
    if not place or not name:
        raise NotExportable(f"{source!r} names no callable.", hint="Give MODULE:CALLABLE or FILE.py:FUNCTION.")
    try:
        function = getattr(_module(place), name)
    except (ImportError, AttributeError, FileNotFoundError) as error:
        raise NotExportable(f"{source!r} is not found: {error}.") from error
    return function()


def _module(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        return import_module(place)
    spec = spec_from_file_location(Path(place).stem, place)
    assert spec is not None  # the suffix says Python
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _as_tuple(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, (tuple, list)) else () if given is None else (given,)
