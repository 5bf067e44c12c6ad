"""Where jobs leave what later jobs on the same model can use: a folder for each project and model.

The child of a job may write to its folder, and a hostile one may put there whatever it likes. So the folder is open to jobs of
the same project on the same model alone, however many projects have uploaded that model.
"""

import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from workers.folders import SMALLEST, remove

MOST_BYTES = 4 * 2**30  # of all models together


def model_cache(root: Path, project: str, model: str) -> str | None:
    """The folder of a model in a project, made where it is missing; None where that cannot be."""
    folder = root / sha256(project.encode()).hexdigest() / sha256(model.encode()).hexdigest()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder)


def trim(root: Path, most: int = MOST_BYTES) -> None:
    """Remove the files used longest ago until what is left takes at most `most` bytes.

    A job leaves plain files in the folder of its model; whatever else lies there, a hostile one has made: it goes.
    """
    found = []
    for path in root.glob("*/*/*"):
        with suppress(OSError):  # another process removes files too
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, max(status.st_size, SMALLEST), path))
            else:
                remove(path)
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
        total -= size
