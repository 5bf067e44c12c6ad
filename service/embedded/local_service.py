"""The service of this machine: where it listens and the key that opens it, in a file that only its owner can read."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class LocalService:
    """What data_dir/local.json holds."""

    url: str = DEFAULT_URL
    key: str | None = None


def data_dir() -> Path:
    """The `data_dir` of the settings, without the others: a client needs none of them, and they take long to import."""
    return Path(os.environ.get("FRACTUNE_DATA_DIR") or Path.home() / ".fractune")


def read_local_service(data_dir: Path) -> LocalService:
    """What the last `fractune serve` on this folder wrote; the defaults where there is nothing, or nothing legible."""
    try:
        return LocalService(**json.loads(_path(data_dir).read_bytes()))
    except (OSError, ValueError, TypeError):
        return LocalService()


def update(data_dir: Path, **changes: Any) -> None:
    """Change some of it. Raises OSError."""
    values = {**asdict(read_local_service(data_dir)), **changes}
    new = _path(data_dir).with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(values, file)
    new.replace(_path(data_dir))


def _path(data_dir: Path) -> Path:
    return data_dir / "local.json"
