"""Files: uploads by content hash, results by job and attempt. Rows say what exists; this module keeps the bytes.

data_dir/
  incoming/                       uploads being received
  models/<sha256>/model.onnx      one private folder per upload (suffix as uploaded)
  datasets/<sha256>/dataset.npz
  jobs/<job id>/<attempt>/        the working folder of an attempt: task.json, log.txt, out/ = Task.out
  jobs/<job id>/checkpoints/      solved layers, until the job has succeeded
  jobs/<job id>/help-<worker>/    the working folder of a worker that helps
  cache/                          what later jobs of a project on the same model can use; bounded, and made again
"""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from workers.digest import file_sha256
from workers.errors import NotFound
from workers.folders import is_plain, open_plain, remove
from workers.jobs.blob_store import BlobStore, SharedFolder
from workers.jobs.incoming import Incoming
from workers.jobs.records import Artifact, AssetKind

SUFFIX = re.compile(r"\.[a-z0-9]{1,16}$")
CHECKPOINTS = "checkpoints"  # folder of a job, beside those of its attempts
LOG = "log.txt"
OUT = "out"
BUNDLE = "model.zip"  # the IR in one file, in the layout of a model repository
BUNDLED = ("1/model.xml", "1/model.bin")
EPOCH = (1980, 1, 1, 0, 0, 0)  # same files, same bytes


class Artifacts:
    """The files under `root`, and in the blobs that keeps them for other machines."""

    def __init__(self, root: Path, blobs: BlobStore | None = None) -> None:
        self._root = root.resolve()
        self._blobs = blobs or SharedFolder()
        for name in ("incoming", "models", "datasets", "jobs"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def incoming(self, max_bytes: int, min_free_bytes: int, upload_id: str | None = None) -> Incoming:
        """A file to receive; parts of one upload name the same `upload_id`."""
        return Incoming(self._root / "incoming" / (upload_id or uuid4().hex), max_bytes, min_free_bytes)

    def received(self, upload_id: str) -> int:
        """How many bytes of an upload in parts have come."""
        path = self._root / "incoming" / upload_id
        return path.stat().st_size if path.exists() else 0

    def place(self, source: Path, kind: AssetKind, sha256: str, name: str) -> None:
        """Move a finished incoming file where `path` finds it; one that is there already stays. Raises Unavailable."""
        folder = self._folder(kind, sha256)
        if self._stored(folder) is None:
            suffix = SUFFIX.search(name.lower())
            folder.mkdir(mode=0o700, exist_ok=True)
            source.rename(folder / f"{kind}{suffix.group() if suffix else ''}")
            for changed in (folder, folder.parent):
                flush(changed)
        else:
            source.unlink()
        if stored := self._stored(folder):
            self._blobs.put(self._name(stored))

    def path(self, kind: AssetKind, sha256: str) -> Path:
        """The uploaded file. Raises NotFound, Unavailable."""
        folder = self._folder(kind, sha256)
        if self._stored(folder) is None:
            self._blobs.fetch(self._name(folder))
        stored = self._stored(folder)
        if stored is None:
            raise NotFound(f"The file of {kind} {sha256} is missing.", hint="Upload it again.")
        os.utime(folder)
        return stored

    def discard(self, kind: AssetKind, sha256: str) -> None:
        """Remove an uploaded file. Raises Unavailable."""
        folder = self._folder(kind, sha256)
        self._blobs.remove(self._name(folder))
        remove(folder)

    def workdir(self, job_id: str, attempt: int) -> Path:
        """A fresh working folder with out/ in it; what earlier attempts left behind goes, except their logs."""
        job = self._root / "jobs" / job_id
        for earlier in range(1, attempt):
            self.tidy(job_id, earlier)
        folder = job / str(attempt)
        remove(folder)
        (folder / OUT).mkdir(mode=0o700, parents=True)
        return folder

    def checkpoints(self, job_id: str) -> Path:
        """Where a job's attempts leave solved layers for the attempts after them."""
        return self._root / "jobs" / job_id / CHECKPOINTS

    @property
    def cache(self) -> Path:
        """The root of what later jobs on the same model can use."""
        return self._root / "cache"

    def forget_checkpoints(self, job_id: str) -> None:
        """No attempt will follow."""
        remove(self.checkpoints(job_id))

    @contextmanager
    def helping(self, job_id: str, worker: str) -> Iterator[Path]:
        """A working folder for the time that a worker helps with a job of another one."""
        folder = self._root / "jobs" / job_id / f"help-{worker}"
        remove(folder)
        folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            remove(folder)

    def log(self, job_id: str, attempt: int) -> Path:
        """Where the child's log goes; of a job elsewhere it is there when the job has ended. Raises Unavailable."""
        path = self._root / "jobs" / job_id / str(attempt) / LOG
        if not is_plain(path, self._root):
            self._blobs.fetch(self._name(path))
        return path

    def open_log(self, job_id: str, attempt: int) -> BinaryIO | None:
        """The log, to be read; None before it begins, or where the job has put something else. Raises Unavailable."""
        try:
            return open_plain(self.log(job_id, attempt))
        except OSError:
            return None

    def keep_log(self, job_id: str, attempt: int) -> None:
        """The log is complete. Raises Unavailable."""
        path = self._root / "jobs" / job_id / str(attempt) / LOG
        if is_plain(path, self._root):
            self._blobs.put(self._name(path))

    def seal(self, job_id: str, attempt: int) -> list[Artifact]:
        """Bundle the IR, flush every result to disk, and list them by name. Raises OSError (ENOSPC), Unavailable."""
        out = self._root / "jobs" / job_id / str(attempt) / OUT
        if not stat.S_ISDIR(out.lstat().st_mode):
            raise NotADirectoryError("the job has put something else in the place of its folder of results")
        remove(out / BUNDLE)
        if all(is_plain(out / name, out) for name in BUNDLED):
            bundle(out)
        names = sorted(_regular_files(out))
        for name in names:
            flush(out / name)
        for folder in {out, *((out / name).parent for name in names)}:
            flush(folder)
        for name in names:
            self._blobs.put(self._name(out / name))
        return [Artifact(name, (out / name).stat().st_size, file_sha256(out / name)) for name in names]

    def result(self, job_id: str, attempt: int, name: str) -> Path:
        """A published file, `name` being that of an Artifact. Raises NotFound, Unavailable."""
        path = self._root / "jobs" / job_id / str(attempt) / OUT / name
        if not is_plain(path, self._root):
            self._blobs.fetch(self._name(path))
        if not is_plain(path, self._root):
            raise NotFound(f"The file {name} of job {job_id} is missing.", hint="Retry the job.")
        return path

    def tidy(self, job_id: str, attempt: int, *, keep: frozenset[str] = frozenset({LOG})) -> None:
        """Remove what an attempt left behind, except `keep`."""
        folder = self._root / "jobs" / job_id / str(attempt)
        if OUT not in keep:
            self._blobs.remove(self._name(folder / OUT))
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in keep:
                remove(path)

    def discard_job(self, job_id: str) -> None:
        """Remove all files of a job. Raises Unavailable."""
        self._blobs.remove(f"jobs/{job_id}")
        remove(self._root / "jobs" / job_id)

    def forget_incoming(self, upload_id: str) -> None:
        """Remove what has come of an upload."""
        (self._root / "incoming" / upload_id).unlink(missing_ok=True)

    def discard_incoming(self, age_s: float) -> None:
        """Remove incoming files that nobody has written to for `age_s` seconds."""
        for path in (self._root / "incoming").iterdir():
            with suppress(FileNotFoundError):  # another process finished or discarded it
                if time.time() - path.stat().st_mtime > age_s:
                    path.unlink()

    def forget_copies(self, age_s: float) -> None:
        """Remove what nobody here has used for `age_s` seconds and the blob store can give again; checkpoints it cannot."""
        attempts = (path for path in self._root.glob("jobs/*/*") if path.name != CHECKPOINTS)
        folders = [*self._root.glob("models/*"), *self._root.glob("datasets/*"), *attempts]
        for folder in folders if self._blobs.cached else ():
            with suppress(FileNotFoundError):
                if time.time() - folder.stat().st_mtime > age_s:
                    remove(folder)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _folder(self, kind: AssetKind, sha256: str) -> Path:
        return self._root / f"{kind}s" / sha256

    @staticmethod
    def _stored(folder: Path) -> Path | None:
        return next(folder.iterdir(), None) if folder.is_dir() else None


def bundle(out: Path) -> None:
    """Zip the IR under `out`; the same IR gives the same bytes."""
    with ZipFile(out / BUNDLE, "w") as archive:
        for name in BUNDLED:
            info = ZipInfo(name, EPOCH)
            info.compress_type = ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with (out / name).open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)


def flush(path: Path) -> None:
    """Bring a file or a folder's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _regular_files(folder: Path) -> Iterator[str]:
    """Relative names; links are left out, whoever made them."""
    for path in folder.rglob("*"):
        if is_plain(path, folder):
            yield path.relative_to(folder).as_posix()
