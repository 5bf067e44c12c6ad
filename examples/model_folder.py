"""A folder as MLflow or Hugging Face lay it out, in and out again, without a registry and without the network.

    python examples/model_folder.py FOLDER OUT [recipe.json]

MLflow's `MLmodel` names the ONNX file; OUT gets an `MLmodel` with an `openvino` flavour. A Hugging Face folder has
`config.json` and the ONNX file as optimum exports it; its `preprocessor_config.json` becomes the recipe's preprocessing, and
OUT has the names that optimum-intel looks for: `OVModelForImageClassification.from_pretrained(OUT)`.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

import fractune

Recipe = dict[str, Any]


def main(folder: Path, out: Path, recipe: Recipe) -> None:
    """Compress the model of the folder, and lay the result out in the same way."""
    convert = from_mlflow if (folder / "MLmodel").is_file() else from_hugging_face
    convert(folder, out, recipe)
    print(f"{out}: {sum(file.stat().st_size for file in out.rglob('*.bin')):,} bytes of weights")  # noqa: T201


def from_mlflow(folder: Path, out: Path, recipe: Recipe) -> None:
    """Signature, input example and other files stay; the flavours become that of the result."""
    told = yaml.safe_load((folder / "MLmodel").read_text())
    result = fractune.optimize(folder / told["flavors"]["onnx"]["data"], recipe, out=out / "fractune")
    told["flavors"] = {"openvino": {"data": "model.xml", "fractune_report": "fractune/report.json"}}
    place(result.model, out, "model")
    (out / "MLmodel").write_text(yaml.safe_dump(told, sort_keys=False))


def from_hugging_face(folder: Path, out: Path, recipe: Recipe) -> None:
    """Configuration and tokenizer go along."""
    prepared = folder / "preprocessor_config.json"
    declared = preprocessing_of(json.loads(prepared.read_text())) if prepared.is_file() else {}
    recipe = {"preprocessing": declared, **recipe} if declared else recipe
    result = fractune.optimize(next(folder.rglob("*.onnx")), recipe, out=out / "fractune")
    place(result.model, out, "openvino_model")
    for file in folder.glob("*.json"):
        shutil.copy(file, out)
    shutil.copy(out / "fractune" / "model_card.md", out / "README.md")


def preprocessing_of(config: Recipe) -> Recipe:
    """(x * factor - mean) / std, as a recipe has it: (x - mean / factor) / (std / factor)."""
    factor = config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 1.0
    mean, std = (config.get("image_mean"), config.get("image_std")) if config.get("do_normalize", True) else (None, None)
    size, crop = config.get("size", {}), config.get("crop_size", {})
    found: Recipe = {
        "mean_values": [value / factor for value in mean or [0.0]],
        "scale_values": [value / factor for value in std or [1.0]],
    }
    if config.get("do_center_crop") and "shortest_edge" in size:
        found |= {"resize": size["shortest_edge"], "crop": crop["height"]}
    elif config.get("do_resize"):
        found |= {"fit": "stretch"}
    return found


def place(model: Path, out: Path, name: str) -> None:
    """The two files of the IR under the name that a loader looks for."""
    for suffix in (".xml", ".bin"):
        shutil.copy(model.with_suffix(suffix), out / f"{name}{suffix}")


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[3]).read_text()) if len(sys.argv) > 3 else {"goal": "speed"}
    main(Path(sys.argv[1]), Path(sys.argv[2]), asked)
