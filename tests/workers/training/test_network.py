"""Gradients of a model in torch."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import torch

from workers.training.network import Network


def test_no_gradient_passes_the_end_of_a_block() -> None:
    given = ops.parameter([1, 2], name="x")
    given.output(0).set_names({"x"})
    first = ops.multiply(given, ops.constant([[2.0, 3.0]], dtype=np.float32, name="a"), name="first")
    second = ops.multiply(first, ops.constant([[5.0, 7.0]], dtype=np.float32, name="b"), name="second")
    network = Network(ov.Model([second], [given]))
    for blockwise in (False, True):
        weights = {name: torch.ones(1, 2, requires_grad=True) for name in "ab"}
        (found,), ends = network.run({"x": torch.ones(1, 2)}, weights, ["first"], blockwise=blockwise)
        torch.autograd.backward(found.sum())
        assert (weights["a"].grad is None) == blockwise
        assert weights["b"].grad.tolist() == [[1.0, 1.0]]
        assert ends["first"].requires_grad
