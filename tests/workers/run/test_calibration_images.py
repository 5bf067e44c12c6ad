"""When fractals become images that the network recognises, and when they stay as they are."""

import numpy as np
import pytest

from tests.workers.ir import tiny
from workers.calibration import from_fractals
from workers.errors import MissingExtra, NotTrainable
from workers.ir.reading.importer import load
from workers.recipe import Recipe
from workers.run import calibration_images
from workers.run.calibration_images import recognised


def recipe(**calibration):
    return Recipe.model_validate({"steps": [{"method": "uniform"}], "calibration": calibration})


@pytest.fixture
def imported(tmp_path):
    return load(tiny.save(tiny.cnn(), tmp_path / "m.onnx"))


def made(imported, folder, wanted, told=None):
    samples = from_fractals(imported, 6, 0, wanted.preprocessing)
    return recognised(samples, imported, wanted, folder, 1, lambda *done: told.append(done) if told is not None else None)


def test_images_are_made_once_for_a_model_and_its_settings(imported, tmp_path):
    told, again = [], []
    first = made(imported, tmp_path, recipe(), told)
    second = made(imported, tmp_path, recipe(), again)
    assert told[-1] == (6, 6)
    assert again == []
    assert np.array_equal(first.images(0, 6), second.images(0, 6))
    assert not np.array_equal(first.images(0, 6), made(imported, tmp_path, recipe(seed=1)).images(0, 6))


def test_samples_are_fed_with_what_was_made_and_know_where_it_came_from(imported, tmp_path):
    plain = from_fractals(imported, 6, 0, recipe().preprocessing)
    found = made(imported, tmp_path, recipe(inversion_steps=5))
    assert np.array_equal(found.origins(found.numbers), plain.images(0, 6))
    assert not np.array_equal(found.images(0, 6), plain.images(0, 6))
    assert not np.array_equal(found.batch(0, 6)["in"], plain.batch(0, 6)["in"])
    assert any("5 steps" in note for note in found.notes)


def test_no_steps_leave_fractals_as_they_are(imported, tmp_path):
    assert made(imported, tmp_path, recipe(inversion_steps=0)).origins is None
    assert not list(tmp_path.glob("*.images"))


def test_without_torch_a_note_says_what_was_lost_and_how_to_get_it(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration_images, "find_spec", lambda name: None)
    found = made(imported, tmp_path, recipe())
    assert found.origins is None
    assert found.notes[-1] == (
        "Calibrated on plain fractals, at which late layers hardly fire: Images that the network recognises are made with "
        "torch, which is not installed. Install it with pip install 'fractune[finetune]'."
    )
    with pytest.raises(MissingExtra):
        made(imported, tmp_path, recipe(inversion_steps=3))


def test_a_model_that_cannot_be_followed_is_calibrated_on_plain_fractals(tmp_path):
    two = tiny.graph(
        [
            tiny.helper.make_node("Add", ["in", "other"], ["sum"]),
            tiny.helper.make_node("Conv", ["sum", "w"], ["out"], name="only"),
        ],
        {"w": tiny.weight(4, 3, 3, 3)},
        {"in": (1, 3, 16, 16), "other": (1, 3, 16, 16)},
    )
    imported = load(tiny.save(two, tmp_path / "m.onnx"))
    found = made(imported, tmp_path, recipe())
    assert found.origins is None
    assert "takes 2 images" in found.notes[-1]
    with pytest.raises(NotTrainable, match="2 images"):
        made(imported, tmp_path, recipe(inversion_steps=3))
