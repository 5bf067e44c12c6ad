"""From an MLflow registry and back: takes a version of a model, has it compressed, and registers the result as a new version.

    pip install fractune mlflow
    python mlflow_registry.py digits 1 recipe.json

MLFLOW_TRACKING_URI names the registry; FRACTUNE_URL and FRACTUNE_API_KEY the service. The model is any that Fractune reads: an
ONNX file, or a folder with one. The new version carries the job, its source and its figures as tags.
"""

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow

from fractune import Client


def main(name: str, version: str, recipe: dict[str, object]) -> int:
    """Returns 0 when the new version is registered, 1 when the job did not succeed."""
    registry = mlflow.MlflowClient()
    source = registry.get_model_version(name, version)
    with TemporaryDirectory() as folder, Client(os.environ["FRACTUNE_URL"], os.environ["FRACTUNE_API_KEY"]) as service:
        model = service.upload_model(find_model(Path(mlflow.artifacts.download_artifacts(source.source, dst_path=folder))))
        job = service.wait(service.submit(model, recipe, name=f"{name} {version}", labels={"mlflow": version})["id"])
        if job["state"] != "SUCCEEDED":
            sys.stderr.write(json.dumps(job["failure"]) + "\n")
            return 1
        result = Path(folder) / "result"
        service.download_all(job["id"], result)
        tags = {"fractune.job": job["id"], "fractune.source_version": version, "fractune.methods": job["methods"]}
        figures = {key: value for key, value in job["summary"].items() if isinstance(value, int | float)}
        with mlflow.start_run(run_name=f"fractune {name} {version}", tags=tags) as run:
            mlflow.log_dict(recipe, "recipe.json")
            mlflow.log_metrics(figures)
            mlflow.log_artifacts(str(result), "openvino")
        tags |= {f"fractune.{key}": f"{value:.6g}" for key, value in figures.items()}
        new = registry.create_model_version(name, f"{run.info.artifact_uri}/openvino", run.info.run_id, tags=tags)
        sys.stdout.write(f"{name} version {new.version}\n")
        return 0


def find_model(path: Path) -> Path:
    """The ONNX file that was logged, alone or in a folder."""
    return path if path.is_file() else next(path.rglob("*.onnx"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], json.loads(Path(sys.argv[3]).read_text())))
