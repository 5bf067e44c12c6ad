"""The data folder is for one user: it holds the key of the administrator, the database and everybody's models."""

import os
import stat
from pathlib import Path

from workers.errors import Unavailable

OTHERS = stat.S_IRWXG | stat.S_IRWXO
SIGNS = {"fractune.db", "local.json"}  # of a folder that has been ours
JUST_MADE = {"serve.lock", "logs"}  # by the process that is starting


def make_private(folder: Path) -> None:
    """Make the folder, or close it to others where it is plainly ours. Raises Unavailable where it is open and may not be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if not status.st_mode & OTHERS:
            return
        if status.st_uid == os.getuid() and not status.st_mode & stat.S_ISVTX and _is_ours(folder):
            folder.chmod(0o700)
            return
    except OSError as error:
        raise Unavailable(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    raise Unavailable(
        f"Others can get at the data folder {folder} (mode {stat.S_IMODE(status.st_mode):o}).",
        hint=f"Run `chmod 700 {folder}` if it is for Fractune alone; else set FRACTUNE_DATA_DIR to a folder that is.",
    )


def _is_ours(folder: Path) -> bool:
    names = set(os.listdir(folder))
    return names <= JUST_MADE or not names.isdisjoint(SIGNS)
