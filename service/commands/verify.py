"""fractune verify: make a result again and say whether it is the same, byte for byte."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from service.client import Client
from service.extras import require
from service.terminal import exit_codes, options, remote
from service.terminal.console import complain, messages, output, print_json
from service.terminal.local import run_locally
from service.terminal.progress import StageProgress
from service.terminal.summary import Report, read_report
from workers.digest import file_sha256
from workers.errors import InvalidRequest
from workers.jobs.job import JobTask, Kind
from workers.settings import read_settings


def verify(
    result: Annotated[str, typer.Argument(metavar="DIR|JOB", help="A folder that optimize wrote, or a job of a service.")],
    model: Annotated[Path | None, typer.Option(exists=True, help="The original model; needed for a folder.")] = None,
    data: options.Data = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; take as many as the first time.")] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    url: remote.Url = None,
    key: remote.Key = None,
) -> None:
    """Compress again by the recipe, the samples and the seed of a result, and compare the bytes of the two models.

    Exit status: 0 identical, 1 different, 2 the inputs are not those of the result.
    """
    quiet = quiet or as_json
    if Path(result).is_dir():
        before, after = _again_here(Path(result), model, data, threads, quiet)
    else:
        with remote.connect(url, key) as client:
            before, after = _again_there(client, client.find_job(result), quiet)
    different = [name for name, digest in before.items() if after.get(name) != digest]
    if as_json:
        print_json({name: {"sha256": digest, "identical": name not in different} for name, digest in before.items()})
    for name, digest in () if as_json else before.items():
        output.print(f"{'different' if name in different else 'identical'}  {digest}  {name}", highlight=False)
    raise typer.Exit(exit_codes.ExitCode.BROKEN if different else exit_codes.ExitCode.DONE)


def _again_here(
    folder: Path, model: Path | None, data: Path | None, threads: int | None, quiet: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """SHA-256 of the model's files as they lie in `folder`, and as they come out anew."""
    require("worker")
    report = read_report(folder / "report.json")
    _check_inputs(report, model, data)
    _check_unharmed(report, folder)
    with TemporaryDirectory(prefix="fractune-") as name:
        task = JobTask(
            Kind.COMPRESS,
            model=str(model.resolve()) if model else "",
            out=str(Path(name) / "out"),
            recipe=report["recipe"] | {"benchmark": None, "constraint": None},
            data=str(data.resolve()) if data else None,
            threads=threads,
        )
        with StageProgress(quiet) as progress:
            failure = run_locally(task, read_settings(), progress.show)
        if failure:
            complain(failure)
            raise typer.Exit(exit_codes.of_failure(failure.code))
        return report["provenance"]["outputs"], read_report(Path(task.out) / "report.json")["provenance"]["outputs"]


def _check_inputs(report: Report, model: Path | None, data: Path | None) -> None:
    """Raises BadParameter unless the files are those that the result was made from."""
    inputs = report["provenance"]["inputs"]
    if model is None:
        raise typer.BadParameter("The original model is needed. Name it with --model.")
    if report["calibration"]["source"] == "dataset" and data is None:
        raise typer.BadParameter("The result was calibrated on a dataset. Name it with --data.")
    for role, path in (("model", model), ("data", data)):
        if path and path.is_file() and role in inputs and path.suffix != ".xml" and file_sha256(path) != inputs[role]:
            raise typer.BadParameter(f"{path} is not the {role} of the result. Its SHA-256 should be {inputs[role]}.")


def _check_unharmed(report: Report, folder: Path) -> None:
    """Raises BadParameter where a file of the result is no longer what the report says."""
    for name, digest in report["provenance"]["outputs"].items():
        if file_sha256(folder / name) != digest:
            raise typer.BadParameter(f"{folder / name} has been changed since it was made. Take an unharmed copy.")


def _again_there(client: Client, job_id: str, quiet: bool) -> tuple[dict[str, str], dict[str, str]]:
    again = client.retry(job_id)
    messages.print(f"Job {again['id']}", highlight=False)
    ended = remote.wait(client, again["id"], quiet)
    if ended["state"] != "SUCCEEDED":
        raise InvalidRequest(f"Job {again['id']} has ended {ended['state']}.", hint=f"See `fractune job {again['id']}`.")
    return _model_files(client, job_id), _model_files(client, again["id"])


def _model_files(client: Client, job_id: str) -> dict[str, str]:
    files: list[dict[str, Any]] = client.artifacts(job_id)
    return {file["name"]: file["sha256"] for file in files if file["name"].startswith("1/")}
