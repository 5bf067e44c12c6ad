"""Memory of this process, as the kernel tells it."""

import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from workers.evaluation.memory import SMAPS, is_wanted, resident
from workers.recipe.recipe import parse_recipe

pytestmark = pytest.mark.skipif(
    not SMAPS.exists(), reason="THE MEMORY OF MODELS IS NOT TESTED: this system has no /proc/self/smaps"
)
MIB = 2**20


def test_memory_that_is_written_to_is_anonymous(tmp_path: Path) -> None:
    before = resident(tmp_path / "none")
    held = np.ones(256 * MIB, np.uint8)  # beside which it is little what else this process may take or give back
    after = resident(tmp_path / "none")
    assert 200 * MIB < after.anonymous - before.anonymous < 312 * MIB
    assert after.total >= after.anonymous
    assert (after.file, held[0]) == (0, 1)


def test_pages_of_a_file_count_once_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "we ights.bin"
    path.write_bytes(bytes(8 * MIB))
    assert resident(path).file == 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        sum(content[place] for place in range(0, len(content), mmap.PAGESIZE))
        assert resident(path).file == 8 * MIB
        assert resident(tmp_path / "other").file == 0
    assert resident(path).file == 0


@pytest.mark.parametrize(
    ("steps", "benchmark", "wanted"),
    [
        ([{"method": "inq"}], {}, False),
        ([{"method": "weight_compression"}], {}, True),
        ([{"method": "inq"}], {"memory": True}, True),
        ([{"method": "weight_compression"}], {"memory": False}, False),
        ([{"method": "weight_compression"}], None, False),
    ],
)
def test_memory_is_measured_where_it_matters_or_is_asked_for(steps: object, benchmark: object, wanted: bool) -> None:
    assert sys.platform == "linux"
    assert is_wanted(parse_recipe({"steps": steps, "benchmark": benchmark})) == wanted
