"""Files: uploads by content hash, results by job and attempt. Rows say what exists, this module keeps the bytes.

data_dir/
  incoming/                       uploads being received
  models/<sha256>/model.onnx      one private folder per upload (suffix as uploaded)
  datasets/<sha256>/data.npz
  jobs/<job id>/<attempt>/        the working folder of an attempt: task.json, log.txt, out/ = Task.out
"""

from pathlib import Path

from workers.jobs.records import Artifact, AssetKind


class Artifacts:
    """The files under `root`."""

    def __init__(self, root: Path) -> None:
        raise NotImplementedError

    def path(self, kind: AssetKind, sha256: str) -> Path:
        """The uploaded file; raises NotFound."""
        raise NotImplementedError

    def workdir(self, job_id: str, attempt: int) -> Path:
        """A fresh, empty working folder, with out/ in it."""
        raise NotImplementedError

    def log(self, job_id: str, attempt: int) -> Path:
        """Where the child's stderr goes."""
        raise NotImplementedError

    def seal(self, job_id: str, attempt: int) -> list[Artifact]:
        """Add the zip of the IR, flush every result to disk, and list them."""
        raise NotImplementedError

    def result(self, job_id: str, attempt: int, name: str) -> Path:
        """A published file; raises NotFound."""
        raise NotImplementedError
