"""The service of this machine: where it listens and the key that opens it, in a file that only its owner can read."""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

DEFAULT_URL = "http://127.0.0.1:8080"


class LocalService(BaseModel):
    """What data_dir/local.json holds."""

    model_config = ConfigDict(frozen=True)

    url: str = DEFAULT_URL
    key: str | None = None


def read(data_dir: Path) -> LocalService:
    """What the last `fractune serve` on this folder wrote; the defaults where there is nothing, or nothing legible."""
    try:
        return LocalService.model_validate_json(_path(data_dir).read_bytes())
    except (OSError, ValueError):
        return LocalService()


def update(data_dir: Path, **changes: Any) -> None:
    """Change some of it. Raises OSError."""
    values = {**read(data_dir).model_dump(), **changes}
    new = _path(data_dir).with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(values, file)
    new.replace(_path(data_dir))


def _path(data_dir: Path) -> Path:
    return data_dir / "local.json"
