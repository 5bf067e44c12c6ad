"""`finetune` as a step of a recipe, on a small network."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
import torch

from tests.workers.engine.test_sequential import compress, residual_network
from workers.calibration.samples import Samples
from workers.errors import LabelMismatch, NotTrainable
from workers.ir.graph.edit import ensure_bias, read_bias, read_weight, write_bias
from workers.ir.graph.layers import find_layers
from workers.methods.finetune import Finetune
from workers.methods.layerwise_pruning import LayerwisePruning
from workers.methods.mlq import Mlq
from workers.methods.problem import Method
from workers.passes import rewrite
from workers.passes.state import CompressionState, RunContext
from workers.statistics.decisions import OutputKind, Reading
from workers.training import distillation
from workers.training.losses import Loss

PIXELS = np.random.default_rng(0).normal(0.3, 1, size=(160, 3, 10, 10)).astype(np.float32)
SAMPLES = Samples("dataset", {"x": lambda numbers: PIXELS[numbers]}, np.arange(160))


def compressed(step: Method, precision: Literal["f32", "f16"] = "f32") -> tuple[CompressionState, RunContext]:
    """The network after a step, and what it was like before."""
    model = residual_network()
    original = model.clone()
    plan = [(layer, (step,)) for layer in find_layers(model)[0]]
    results = compress(model, plan, SAMPLES)
    context = RunContext(original, SAMPLES, 16, precision, {}, {}, 0, 1, lambda result: None)
    return CompressionState(model, {result.layer.name: result for result in results}), context


def tuned(step: Finetune, prior: LayerwisePruning | None = None, **changes: Any) -> CompressionState:
    state, context = compressed(prior or Mlq())
    return rewrite(step, state, replace(context, **changes), lambda *told, **known: None)


def weights(state: CompressionState) -> dict[str, npt.NDArray[Any]]:
    return {layer.name: read_weight(state.model, layer) for layer in find_layers(state.model)[0]}


def test_the_student_comes_nearer_to_its_teacher() -> None:
    state, context = compressed(LayerwisePruning(sparsity_level=0.5))
    place = ensure_bias(state.model, [layer for layer in find_layers(state.model)[0] if layer.name == "second"])["second"]
    write_bias(state.model, place, read_bias(state.model, place) + 0.5)
    step = Finetune(steps=100, batch_size=16, learning_rate=0.01)
    training = rewrite(step, state, context, lambda *told, **known: None).training
    assert training.steps == 100
    assert training.kept > 0
    assert min(point[2] for point in training.curve) < 0.3 * training.curve[0][2]
    assert training.difference < 1e-4


def test_weights_stay_in_the_set_and_results_tell_of_them() -> None:
    done = tuned(Finetune(steps=30, batch_size=16, learning_rate=0.01))
    for name, weight in weights(done).items():
        assert all(len(np.unique(row)) <= 3 for group in done.results[name].weight for row in group)
        np.testing.assert_array_equal(done.results[name].weight.astype(np.float32), weight)
        assert [step.method for step in done.results[name].steps] == ["mlq", "finetune"]
        assert 0 < done.results[name].relative_error < 1


def unsettled(step: Finetune, seed: int = 0) -> Any:
    """Trained from away from where solving ends, so that there is something to gain."""
    state, context = compressed(LayerwisePruning(sparsity_level=0.5))
    place = ensure_bias(state.model, [layer for layer in find_layers(state.model)[0] if layer.name == "second"])["second"]
    write_bias(state.model, place, read_bias(state.model, place) + 0.5)
    return rewrite(step, state, replace(context, seed=seed), lambda *told, **known: None)


def test_the_same_seed_gives_the_same_weights() -> None:
    def moved(seed: int) -> Any:
        return weights(unsettled(Finetune(steps=40, batch_size=16, learning_rate=0.01), seed))

    first, second, other = moved(0), moved(0), moved(1)
    for name, weight in first.items():
        np.testing.assert_array_equal(weight, second[name])
    assert any((weight != other[name]).any() for name, weight in first.items())


def test_a_training_that_only_harms_is_not_kept() -> None:
    state, _ = compressed(LayerwisePruning(sparsity_level=0.1))
    before = weights(state)
    done = tuned(Finetune(steps=2, batch_size=16, learning_rate=1.0), LayerwisePruning(sparsity_level=0.1))
    assert done.training.kept == 0
    for name, weight in weights(done).items():
        np.testing.assert_array_equal(weight, before[name])


def test_a_rate_that_harms_a_solved_model_is_reduced_until_it_helps() -> None:
    training = tuned(Finetune(steps=50, batch_size=16, learning_rate=1.0), LayerwisePruning(sparsity_level=0.1)).training
    losses = [point[2] for point in training.curve]
    assert max(losses) > 10 * losses[0]
    assert losses[-1] < 1.5 * losses[0]


def test_what_selects_does_not_confirm() -> None:
    """The best of many states is better by the samples that chose it: only others tell whether it is."""
    start, flattered = torch.full((8,), 2.0), torch.tensor([1.0, 2.1, 1.0, 1.9, 1.0, 2.1, 1.0, 2.0])
    turned = flattered.roll(1)
    assert not distillation.confirmed(torch.stack([start, flattered, turned]))
    assert distillation.confirmed(torch.stack([start, flattered - 0.5, turned - 0.5]))


def test_an_improvement_within_chance_is_not_confirmed() -> None:
    start, unsure = torch.full((6,), 2.0), torch.tensor([1.0, 1.0, 1.0, 0.9, 1.0, 6.8])
    assert not distillation.confirmed(torch.stack([start, unsure]))
    assert distillation.confirmed(torch.stack([start, unsure.clamp(max=1.1)]))


def test_a_long_tail_does_not_hide_what_most_samples_have_gained() -> None:
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(200, generator=rng).mul(2).exp()
    trained = start * torch.randn(200, generator=rng).mul(0.5).sub(0.15).exp()
    gains = start - trained
    assert 0 < gains.mean() < distillation.CERTAIN * gains.std() / 200**0.5  # of the losses as they are
    assert distillation.confirmed(torch.stack([start, trained]))
    trained[start.argmax()] += 2 * gains.sum()  # and yet the mean counts
    assert not distillation.confirmed(torch.stack([start, trained]))


def test_states_alike_are_seldom_confirmed() -> None:
    """Twenty-five states that are as good as the start: one in twenty is taken for better, as announced, or fewer."""
    rng = torch.Generator().manual_seed(0)
    found = [distillation.confirmed(torch.randn(26, 50, generator=rng)) for _ in range(400)]
    assert np.mean(found) < 0.1


def test_what_is_not_confirmed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Finetune(steps=100, batch_size=16, learning_rate=0.01)
    assert unsettled(step).training.kept > 0
    monkeypatch.setattr(distillation, "confirmed", lambda held: False)
    assert unsettled(step).training.kept == 0


def run_of(smooth: bool, **changes: Any) -> distillation.Distillation:
    """Of a network that answers with its constant "scores", and four samples to choose by."""
    loss = Loss((Reading(OutputKind.CLASSES, classes=5),), 4, temperature=1.0, feature_weight=0.0, label_weight=0.0)
    parts: dict[str, Any] = {
        "step": Finetune(),
        "teacher": None,
        "network": SimpleNamespace(run=lambda feeds, values: ([values["scores"]], {})),
        "student": SimpleNamespace(smooth=smooth),
        "batches": SimpleNamespace(selecting=SimpleNamespace(count=4)),
    }
    return distillation.Distillation(**parts, loss=loss, features=(), **changes)


@pytest.mark.parametrize("smooth", [True, False])
def test_a_student_is_not_nearer_for_being_more_certain(smooth: bool) -> None:
    taught, noise = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    selection: list[Any] = [(SimpleNamespace(feeds={}), ([taught], {}))]
    timid, certain = {"scores": (taught + 0.3 * noise) / 2}, {"scores": taught + 0.3 * noise}
    judged = [float(run_of(smooth)._judge(state, selection).mean()) for state in (timid, certain)]
    assert judged[0] == pytest.approx(judged[1], rel=1e-4)


def test_half_the_way_is_judged_too_where_it_is_in_the_set() -> None:
    start, trained = {"scores": torch.zeros(4, 5)}, {"scores": torch.ones(4, 5)}
    states = run_of(True, average=trained)._states(start)
    assert [float(state["scores"].mean()) for state in states] == [1.0, 0.5]


def test_blocks_learn_by_themselves() -> None:
    """No gradient of a later block reaches the layers before it, and all blocks come nearer to the original's."""
    training = unsettled(Finetune(steps=40, batch_size=16, learning_rate=0.01, blockwise=1.0)).training
    assert min(point[2] for point in training.curve) < training.curve[0][2]


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "SAVE_EVERY_S", 0.0)
    step = Finetune(steps=50, batch_size=16)
    whole = weights(tuned(step))

    class Interrupted(Exception):
        pass

    def interrupt(done: int, total: int, layer: str | None = None, message: str = "") -> None:
        if done >= 480:
            raise Interrupted

    state, context = compressed(Mlq())
    with pytest.raises(Interrupted):
        rewrite(step, state, replace(context, folder=tmp_path), interrupt)
    learned = []
    monkeypatch.setattr(
        distillation.Distillation,
        "_learn",
        lambda self, optimizer, learn=distillation.Distillation._learn: learned.append(1) or learn(self, optimizer),
    )
    resumed = weights(tuned(step, folder=tmp_path))
    assert 20 <= len(learned) < 30
    for name, weight in whole.items():
        np.testing.assert_array_equal(weight, resumed[name])


def test_a_state_that_is_damaged_or_of_another_version_is_left_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "SAVE_EVERY_S", 0.0)
    step = Finetune(steps=10, batch_size=16)
    whole = weights(tuned(step, folder=tmp_path))
    state = tmp_path / "training.pt"
    older = io.BytesIO()
    torch.save({"number": 5, "seconds": 1.0}, older)
    for damaged in (state.read_bytes()[: state.stat().st_size // 2], b"", b"no such thing", older.getvalue()):
        state.write_bytes(damaged)
        for name, weight in weights(tuned(step, folder=tmp_path)).items():
            np.testing.assert_array_equal(weight, whole[name])


def test_time_ends_a_training() -> None:
    training = tuned(Finetune(steps=1_000_000, max_time=1.0, batch_size=16)).training
    assert training.steps < 1_000_000
    assert training.seconds >= 1.0


def test_small_batches_make_up_a_large_one() -> None:
    training = tuned(Finetune(steps=10, batch_size=40)).training
    assert training.steps == 10


def test_layers_left_alone_by_the_recipe_stay_as_they_are() -> None:
    state, context = compressed(Mlq())
    before = weights(state)
    done = rewrite(
        Finetune(steps=20, batch_size=16),
        state,
        replace(context, excluded={"stem": "a rule"}),
        lambda *told, **known: None,
    )
    np.testing.assert_array_equal(weights(done)["stem"], before["stem"])


def test_free_weights_of_a_half_precision_model_are_halves() -> None:
    done = tuned(Finetune(steps=20, batch_size=16), LayerwisePruning(sparsity_level=0.5), precision="f16")
    for weight in weights(done).values():
        np.testing.assert_array_equal(weight, weight.astype(np.float16))


def test_labels_can_join_in() -> None:
    labelled = replace(SAMPLES, labels=np.random.default_rng(1).integers(0, 5, 160))
    plain = tuned(Finetune(steps=25, batch_size=16))
    mixed = tuned(Finetune(steps=25, batch_size=16, label_weight=0.5), samples=labelled)
    assert mixed.training.curve[1][1] > plain.training.curve[1][1]  # random labels cannot be learnt
    with pytest.raises(LabelMismatch, match="label_weight"):
        tuned(Finetune(label_weight=0.5))


def test_a_model_that_cannot_be_differentiated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state, context = compressed(Mlq())
    model = state.model
    head = model.get_results()[0].input_value(0)
    summed = ov.opset13.cum_sum(head, ov.opset13.constant(1))
    odd = replace(state, model=ov.Model([ov.opset13.result(summed)], model.get_parameters()))
    with pytest.raises(NotTrainable, match="CumSum"):
        rewrite(Finetune(steps=1, batch_size=16), odd, context, lambda *told, **known: None)
