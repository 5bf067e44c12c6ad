"""OpenVINO's answers against those of the same model in torch."""

import numpy as np
import torch

from tests.workers.engine.test_sequential import residual_network
from workers.ir.reading.batching import batched
from workers.training.network import Network
from workers.training.teacher import Teacher


def test_a_teacher_answers_as_its_model_does_and_tells_what_it_has_seen_on_the_way() -> None:
    model = batched(residual_network(), 4)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 10, 10)).astype(np.float32))
    feeds = {"x": images.contiguous(memory_format=torch.channels_last)}
    network = Network(model)
    names = [call.name for call in network.calls if call.type == "Relu"]
    outputs, features = Teacher(model, names, 1).run(feeds)
    expected = network.run(feeds, {}, names)
    assert [*features] == names
    for found, known in zip([*outputs, *features.values()], [*expected[0], *expected[1].values()], strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=1e-4)
