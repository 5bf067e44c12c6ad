"""fractune fractals: the images that stand in for data, as files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from fractal_data.export import export
from service.terminal import options
from service.terminal.console import messages, print_json


def fractals(
    out: Annotated[Path, typer.Option(help="A new .npz (`x`, uint8 NHWC), or a new folder for PNGs.")],
    count: Annotated[int, typer.Option(min=1, help="How many images.")] = 1000,
    size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels of a side.")] = 224,
    channels: Annotated[int, typer.Option(min=1, help="1, 3, or any number in an .npz.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    as_json: options.AsJson = False,
    processes: Annotated[int, typer.Option(min=1, help="Drawing at once; the images do not depend on it.")] = 1,
) -> None:
    """Draw fractal images, with a contact sheet beside them."""
    try:
        with Progress(console=messages, transient=True, disable=not messages.is_terminal) as bars:
            bar = bars.add_task("drawing", total=count)
            sheet = export(
                count,
                size,
                seed,
                out,
                channels=channels,
                processes=processes,
                progress=lambda written: bars.update(bar, completed=written),
            )
    except (ValueError, FileExistsError) as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        print_json({"out": str(out), "sheet": str(sheet), "count": count, "seed": seed})
        return
    messages.print(f"{out}, contact sheet {sheet}", highlight=False)
