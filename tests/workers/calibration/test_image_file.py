"""Pictures on disk."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workers.calibration.image_file import ImageFile
from workers.confinement import seccomp

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3)).astype(np.uint8)


def opened(tmp_path: Path) -> ImageFile:
    return ImageFile(tmp_path / "images" / "a.images", (4, 6, 3))


def test_pictures_come_back_by_number(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with file.making():
        file.append(PIXELS[:7])
        file.append(PIXELS[7:])
        assert not file.complete
    assert (file.complete, file.count) == (True, 10)
    assert np.array_equal(file.read(np.array([9, 0, 3])), PIXELS[[9, 0, 3]])


def test_half_a_picture_of_an_interrupted_attempt_does_not_count(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with pytest.raises(FileNotFoundError), file.making():  # noqa: PT012 - interrupted between two batches
        file.append(PIXELS[:2])
        file.read(np.arange(1))
    with (tmp_path / "images" / "a.part").open("ab") as part:
        part.write(bytes(5))
    again = opened(tmp_path)
    with again.making():
        assert (again.complete, again.count) == (False, 2)
        again.append(PIXELS[2:])
    assert np.array_equal(again.read(np.arange(10)), PIXELS)


def test_whoever_waits_finds_them_made(tmp_path: Path) -> None:
    def made(number: Any) -> Any:
        file = opened(tmp_path)
        with file.making():
            if not file.complete:
                file.append(PIXELS)
                return 1
        return 0

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(made, range(4))) == 1


def test_those_that_are_used_count_as_new(tmp_path: Path) -> None:
    file = opened(tmp_path)
    with file.making():
        file.append(PIXELS)
    os.utime(file.path, (0, 0))
    with file.making():
        pass
    assert file.path.stat().st_mtime > 0


CONFINED = """
import sys
from pathlib import Path
import numpy as np
from workers.calibration.image_file import ImageFile
from workers.confinement.kernel import renounce_privileges
from workers.confinement.seccomp import refuse_calls
renounce_privileges()
refuse_calls()
file = ImageFile(Path(sys.argv[1]), (4, 6, 3))
with file.making():
    file.append(np.zeros((3, 4, 6, 3), np.uint8))
with file.making():
    assert file.count == 5
"""


@pytest.mark.skipif(not seccomp.available(), reason="needs seccomp on x86-64 or 64-bit Arm")
def test_a_confined_process_takes_up_what_an_interruption_has_left(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(PIXELS[:2].tobytes() + bytes(5))
    (tmp_path / "a.lock").touch()
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path / "a.images")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.images").read_bytes() == PIXELS[:2].tobytes() + bytes(3 * 72)
