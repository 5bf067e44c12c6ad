"""Where jobs leave what later jobs on the same model can use: a folder for each model, open to the jobs on it alone."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

MOST_BYTES = 4 * 2**30  # of all models together


def model_cache(root: Path, model: str) -> str | None:
    """The folder of a model, by whatever names it, made where it is missing; None where that cannot be."""
    folder = root / sha256(model.encode()).hexdigest()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder)


def trim(root: Path, most: int = MOST_BYTES) -> None:
    """Remove the files used longest ago until what is left takes at most `most` bytes."""
    found = []
    for path in root.rglob("*"):
        with suppress(OSError):  # another process removes files too
            if path.is_file() and not path.is_symlink():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        with suppress(OSError):
            path.unlink()
        total -= size
