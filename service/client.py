"""The service from Python: upload, submit, wait, read the report, download what it names.

    with Client("http://127.0.0.1:8080", key) as client:
        job = client.submit(client.upload_model("resnet.onnx"), recipe)
        job = client.wait(job["id"], on_event=print)
        client.download(job["id"], "model.zip", "model.zip")

What the service declines is raised as the error of workers.errors with the same code.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import httpx

from service.http.connection import Connection
from workers.digest import file_sha256
from workers.errors import ChecksumMismatch, Conflict, Internal, NotFound, TimedOut
from workers.jobs.job import TERMINAL

if TYPE_CHECKING:  # it takes longer to import than most commands to run
    from workers.recipe import Recipe

Json = dict[str, Any]
FIRST_POLL_S, POLL_S = 0.1, 1.0
PART_BYTES = 32 << 20  # files above this size go in parts, so that a broken connection costs one part
BLOCK = 1 << 20
ID_LENGTH = 32  # of a job's id
HEX = frozenset("0123456789abcdef")
POINTS = "points"  # folder of the models of a front, by setting
ARCHIVE = "model.zip"  # the files of 1/ once more, for those who want one file


class Client:
    """A service at `url`, with an API key (fr_...). Use as a context, or call `close`."""

    def __init__(self, url: str, key: str | None = None, *, patience_s: float = 60.0) -> None:
        """`patience_s`: how long a service that does not answer is asked again."""
        self._connection = Connection(url, key, patience_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def upload_model(self, path: str | PathLike[str]) -> str:
        """Store a model file, unless the service has it already; its SHA-256, which names it from then on."""
        return self._upload("model", Path(path))

    def upload_dataset(self, path: str | PathLike[str]) -> str:
        """Store a dataset file (.npz or .zip), unless the service has it already; its SHA-256."""
        return self._upload("dataset", Path(path))

    def signin_path(self) -> str:
        """Below the service's URL: a link that opens the dashboard with this client's key, once and within minutes."""
        return str(self._json("POST", "/v1/signin-links")["path"])

    def model(self, sha256: str) -> Json:
        """A model with its inspection, or with the reason why it cannot be used."""
        return self._json("GET", f"/v1/models/{sha256}")

    def submit(
        self,
        model: str,
        recipe: "Mapping[str, Any] | Recipe",
        *,
        dataset: str | None = None,
        evaluation: str | None = None,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        runs_on: str | None = None,
        idempotency_key: str | None = None,
    ) -> Json:
        """Queue a job; hashes name the uploads, `runs_on` (label=value) the workers that may do it.

        The same `idempotency_key` gives the same job.
        """
        body = {"model": model, "recipe": _in_json(recipe), "dataset": dataset, "evaluation": evaluation, "name": name}
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        return self._json("POST", "/v1/jobs", json=body | {"labels": labels or {}, "runs_on": runs_on}, headers=headers)

    def validate(self, model: str, recipe: "Mapping[str, Any] | Recipe") -> Json:
        """What a recipe would do to an inspected model: layers, size, memory and time. Nothing is queued."""
        return self._json("POST", "/v1/jobs:validate", json={"model": model, "recipe": _in_json(recipe)})

    def job(self, job_id: str) -> Json:
        """A job as it stands."""
        return self._json("GET", f"/v1/jobs/{job_id}")

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """All jobs, newest first; filters as the API names them: id, state, kind, model, method, name, label."""
        cursor = None
        while True:
            page = self._json("GET", "/v1/jobs", params={**filters, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["cursor"]
            if cursor is None:
                return

    def find_job(self, begins: str) -> str:
        """The id of the one job whose id begins so. Raises NotFound, Conflict where several do."""
        if len(begins) == ID_LENGTH:
            return begins
        known = 0 < len(begins) < ID_LENGTH and set(begins.lower()) <= HEX
        found = self._json("GET", "/v1/jobs", params={"id": begins.lower(), "limit": 2})["items"] if known else []
        if not found:
            raise NotFound(f"There is no job whose id begins with {begins!r}.", hint="`fractune jobs` lists them.")
        if len(found) > 1:
            raise Conflict(f"The ids of several jobs begin with {begins!r}.", hint="Give more of its letters.")
        return str(found[0]["id"])

    def wait(self, job_id: str, timeout_s: float | None = None, on_event: Callable[[Json], object] | None = None) -> Json:
        """The job once it has ended, however it did. `on_event` gets each of its events. Raises TimedOut."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        seen, pause = 0, FIRST_POLL_S
        while True:
            job = self.job(job_id)
            while on_event is not None and seen < job["last_event"]:
                for event in self._connection.request("GET", f"/v1/jobs/{job_id}/history", params={"after": seen}).json():
                    on_event(event)
                    seen = event["seq"]
            if job["state"] in TERMINAL:
                return job
            if deadline is not None and time.monotonic() > deadline:
                raise TimedOut(f"Job {job_id} has not ended within {timeout_s:g} s: {job['state']}.", hint="Wait longer.")
            time.sleep(pause)
            pause = min(1.5 * pause, POLL_S)

    def events(self, job_id: str) -> Iterator[Json]:
        """The events of a job from its beginning, live until it has ended; survives broken connections."""
        seen = 0
        while True:
            try:
                for event in self._stream_events(job_id, seen):
                    yield event
                    seen = event["seq"]
            except httpx.TransportError:
                time.sleep(POLL_S)
            job = self.job(job_id)
            if job["state"] in TERMINAL and job["last_event"] == seen:
                return

    def cancel(self, job_id: str) -> Json:
        """End a job."""
        return self._json("POST", f"/v1/jobs/{job_id}:cancel")

    def prioritize(self, job_id: str, priority: str) -> Json:
        """Let a waiting job go before or after others: low, normal or high. Raises Conflict when it does not wait."""
        return self._json("POST", f"/v1/jobs/{job_id}:prioritize", json={"priority": priority})

    def retry(self, job_id: str) -> Json:
        """Do an ended job again; the new job."""
        return self._json("POST", f"/v1/jobs/{job_id}:retry")

    def report(self, job_id: str) -> Json:
        """The report of a job that has succeeded."""
        return self._json("GET", f"/v1/jobs/{job_id}/report.json")

    def log(self, job_id: str) -> str:
        """The log of the latest attempt."""
        return self._connection.request("GET", f"/v1/jobs/{job_id}/logs").text

    def artifacts(self, job_id: str) -> list[Json]:
        """Name, size and SHA-256 of every file of a job."""
        files: list[Json] = self._connection.request("GET", f"/v1/jobs/{job_id}/artifacts").json()
        return files

    def download(self, job_id: str, name: str, path: str | PathLike[str]) -> None:
        """Save a file of a job as `path`, complete and with the right SHA-256, or not at all. Raises ChecksumMismatch."""
        expected = next((file["sha256"] for file in self.artifacts(job_id) if file["name"] == name), None)
        if expected is None:
            raise NotFound(f"Job {job_id} has no file {name}.")
        partial = Path(f"{fspath(path)}.part")
        try:
            with self._connection.stream("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as response, partial.open("wb") as file:
                for block in response.iter_bytes(BLOCK):
                    file.write(block)
            if file_sha256(partial) != expected:
                raise ChecksumMismatch(f"The download of {name} is damaged.", hint="Download it again.")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def download_all(self, job_id: str, folder: str | PathLike[str], point: str | None = None) -> None:
        """Save all results of a job under `folder`, laid out as `fractune optimize` does; for a `point` its model alone.

        Raises ChecksumMismatch, or NotFound for a job without results and for a point that its front does not have.
        """
        names = [file["name"] for file in self.artifacts(job_id) if file["name"] != ARCHIVE]
        if not names:
            raise NotFound(f"Job {job_id} has no results.", hint="Those have some that succeeded; see `fractune job`.")
        for name, place in files_of_point(names, point) if point else zip(names, names, strict=True):
            path = Path(folder) / _inside(place)
            path.parent.mkdir(parents=True, exist_ok=True)
            self.download(job_id, name, path)

    def _json(self, method: str, path: str, **options: Any) -> Json:
        body: Json = self._connection.request(method, path, **options).json()
        return body

    def _upload(self, kind: str, path: Path) -> str:
        with path.open("rb") as file:
            sha256, size = file_sha256(path), path.stat().st_size
            try:
                self._connection.request("HEAD", f"/v1/{kind}s/{sha256}")
            except NotFound:
                if size > PART_BYTES:
                    self._upload_parts(kind, path, sha256, size)
                else:
                    self._connection.request("PUT", f"/v1/{kind}s/{sha256}", params={"name": path.name}, content=file.read())
        return sha256

    def _upload_parts(self, kind: str, path: Path, sha256: str, size: int) -> None:
        begin = {"kind": kind, "name": path.name, "size": size, "sha256": sha256}
        begun = self._json("POST", "/v1/uploads", json=begin)
        upload, offset = f"/v1/uploads/{begun['id']}", int(begun["offset"])
        try:
            with path.open("rb") as file:
                while offset < size:
                    file.seek(offset)
                    offset = self._send_part(upload, offset, file.read(PART_BYTES))
            self._connection.request("POST", f"{upload}:complete")
        except NotFound:  # another process that sent the same file has completed it
            self._connection.request("HEAD", f"/v1/{kind}s/{sha256}")

    def _send_part(self, upload: str, offset: int, part: bytes) -> int:
        """The offset to go on from, which the service tells after a broken connection, or another's part, too."""
        try:
            headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
            response = self._connection.request("PATCH", upload, content=part, headers=headers, patient=False)
        except (httpx.TransportError, Conflict):
            time.sleep(FIRST_POLL_S)
            response = self._connection.request("HEAD", upload)
        return int(response.headers["Upload-Offset"])

    def _stream_events(self, job_id: str, after: int) -> Iterator[Json]:
        headers = {"Last-Event-ID": str(after)}
        with self._connection.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))


def files_of_point(names: Sequence[str], point: str) -> list[tuple[str, str]]:
    """The files of a point of a front, each with its place in a model's own folder. Raises NotFound."""
    begin = f"{POINTS}/{point}/"
    found = [(name, name.removeprefix(begin)) for name in names if name.startswith(begin)]
    if not found:
        known = sorted({name.split("/")[1] for name in names if name.startswith(f"{POINTS}/")})
        raise NotFound(f"The job has no point {point!r}.", hint=f"It has {', '.join(known)}." if known else "It made no front.")
    return found


def _inside(name: str) -> PurePosixPath:
    """A file name from the service, which must not leave the folder. Raises Internal."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise Internal(f"The service names a file {name!r}.")
    return path


def _in_json(recipe: "Mapping[str, Any] | Recipe") -> Mapping[str, Any]:
    return recipe if isinstance(recipe, Mapping) else recipe.model_dump(mode="json", by_alias=True)
