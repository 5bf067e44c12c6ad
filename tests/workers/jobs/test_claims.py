from pathlib import Path

import pytest

from workers.jobs.claims import Claims


def test_one_at_a_time_has_a_piece_of_work(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert one.take("first")
    assert not other.take("first")
    assert other.take("second")
    one.release("first")
    one.release("first")
    assert other.take("first", wait=True)
    for name in ("first", "second"):
        other.release(name)


def test_what_is_closed_stays_so_for_all(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert not other.closed("first")
    one.close("first")
    assert other.closed("first")
    assert not other.closed("second")


def test_without_its_folder_everything_is_over(tmp_path: Path) -> None:
    gone = Claims(tmp_path / "gone")
    assert gone.closed("first")
    assert not gone.take("first")
    with pytest.raises(FileNotFoundError):
        gone.take("first", wait=True)
