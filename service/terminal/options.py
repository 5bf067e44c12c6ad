"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from workers.recipe.goals import GOALS

Model = Annotated[
    Path,
    typer.Argument(
        exists=True,
        help="ONNX, OpenVINO IR (.xml, its .bin beside it), TFLite, a SavedModel, or PaddlePaddle (.pdmodel, its .pdiparams "
        "beside it); folders and zip files as well.",
    ),
]
RecipeFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Recipe as JSON; see `fractune methods`.")]
Goal = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(GOALS),
        help="What you want: faster, smaller, within a limit, or without data; `speed` when nothing says how to compress.",
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help="Most that may be lost of accuracy, or of the constraint's metric; 0.01 is one percentage point."
    ),
]
Prune = Annotated[float | None, typer.Option(metavar="SHARE", help="Share of the weights to set to zero, 0 to 1.")]
Int8 = Annotated[bool, typer.Option("--int8", help="Quantise weights and activations to 8 bits, after pruning if both.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME[N,C,H,W]", help="Shape of an input that leaves it open; may be repeated."),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Of all random choices; the recipe's when absent.")]
Data = Annotated[
    Path | None,
    typer.Option(exists=True, help="Calibration samples: .npz, folder or zip of images. Fractal images when absent."),
]
Evaluation = Annotated[
    Path | None,
    typer.Option("--eval", exists=True, help="Held-out samples, with labels if there are any, for accuracy before and after."),
]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="What the model answers, for example detection; read off its outputs when absent.")
]
Decoder = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="How outputs are decoded: a head, for example yolov8, or a model that does it."),
]
MetricOption = Annotated[
    str | None,
    typer.Option(
        "--metric", metavar="NAME|MODULE:FUNCTION", help="Metric of the constraint, or a function (outputs, label) of your own."
    ),
]
Knobs = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KNOB=VALUE",
        help="Any knob of the recipe, for example preprocessing.scale_values=[255] or calibration.count=300; may be repeated.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
