"""The data folder: private, or refused."""

import stat
from pathlib import Path

import pytest

from service.embedded.data_folder import make_private
from workers.errors import Unavailable


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_new_one_is_private(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("content", [(), ("fractune.db", "logs")], ids=["empty", "ours"])
def test_one_that_is_ours_is_closed_to_others(tmp_path: Path, content: tuple[str, ...]) -> None:
    tmp_path.chmod(0o755)
    for name in content:
        (tmp_path / name).touch()
    make_private(tmp_path)
    assert mode(tmp_path) == 0o700


@pytest.mark.parametrize(("bits", "content"), [(0o755, ("holiday.jpg",)), (0o1777, ())], ids=["somebody's", "like /tmp"])
def test_one_that_others_use_is_refused_and_left_as_it_is(tmp_path: Path, bits: int, content: tuple[str, ...]) -> None:
    for name in content:
        (tmp_path / name).touch()
    tmp_path.chmod(bits)
    with pytest.raises(Unavailable, match="Others can get at") as refused:
        make_private(tmp_path)
    assert "chmod 700" in refused.value.hint
    assert mode(tmp_path) == bits
