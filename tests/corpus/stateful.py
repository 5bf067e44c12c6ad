"""Models that keep state from one inference to the next, as OpenVINO's exporters write them."""

import numpy as np
import openvino as ov
import openvino.opset6 as stateful
import openvino.opset13 as ops
from openvino import Node

Axes = list[int]


def weight(rng: np.random.Generator, *shape: int) -> Node:
    return ops.constant((rng.normal(size=shape) * shape[0] ** -0.5).astype(np.float32))


def product(x: Node, w: Node) -> Node:
    return ops.matmul(x, w, False, False)


def named(node: Node, name: str) -> Node:
    node.friendly_name = name
    node.output(0).set_names({name})
    return node


def input_of(name: str, shape: Axes, kind: ov.Type = ov.Type.f32) -> Node:
    return named(ops.parameter(shape, kind, name=name), name)


def zeros(batch_of: Node, *shape: int) -> Node:
    """As many rows as the input has, of zeros."""
    first = ops.gather(ops.shape_of(batch_of), ops.constant([0]), ops.constant(0))
    lengths = ops.concat([first, ops.constant(np.array(shape, np.int64))], 0)
    return ops.broadcast(ops.constant(np.float32(0)), lengths)


def memory_cell() -> ov.Model:
    """A hidden vector that every frame updates."""
    rng = np.random.default_rng(5)
    x = input_of("x", [-1, 6])
    before = stateful.read_value(zeros(x, 8), "hidden", ov.Type.f32, ov.PartialShape([-1, 8]))
    seen = named(product(x, weight(rng, 6, 8)), "seen")
    after = ops.tanh(ops.add(seen, named(product(before, weight(rng, 8, 8)), "kept")))
    y = named(product(after, weight(rng, 8, 3)), "y")
    return ov.Model([ops.result(y)], [stateful.assign(after, "hidden")], [x], "cell")


def frames_of_one() -> ov.Model:
    """The same for one stream: its state has no open axis, and begins as zeros because nothing else is said."""
    rng = np.random.default_rng(6)
    x = input_of("x", [1, 6])
    zero = ops.constant(np.zeros((1, 8), np.float32))
    before = stateful.read_value(zero, "hidden", ov.Type.f32, ov.PartialShape([1, 8]))
    joined = ops.concat([x, before], 1)
    after = ops.tanh(named(product(joined, weight(rng, 14, 8)), "cell"))
    y = named(product(after, weight(rng, 8, 3)), "y")
    return ov.Model([ops.result(y)], [stateful.assign(after, "hidden")], [x], "stream")


def heads(x: Node) -> Node:
    return ops.transpose(ops.reshape(x, ops.constant([0, 0, 2, 8]), True), ops.constant([0, 2, 1, 3]))


def decoder() -> ov.Model:
    """One block of a language model, with a cache of keys and values that grows, and is sorted by beams."""
    rng, width = np.random.default_rng(7), 16
    ids, beams = input_of("input_ids", [-1, -1], ov.Type.i64), input_of("beam_idx", [-1], ov.Type.i32)
    x = named(ops.gather(weight(rng, 50, width), ids, ops.constant(0)), "embedded")
    query, key, value = (heads(named(product(x, weight(rng, width, width)), name)) for name in ("query", "key", "value"))
    sinks, caches = [], []
    for name, new in (("past_keys", key), ("past_values", value)):
        shape = ov.PartialShape([-1, 2, -1, width // 2])
        past = stateful.read_value(zeros(ids, 2, 0, width // 2), name, ov.Type.f32, shape)
        whole = ops.concat([ops.gather(past, beams, ops.constant(0)), new], 2)
        caches.append(whole)
        sinks.append(stateful.assign(whole, name))
    scores = ops.softmax(ops.matmul(query, caches[0], False, True), -1)
    seen = ops.transpose(ops.matmul(scores, caches[1], False, False), ops.constant([0, 2, 1, 3]))
    joined = ops.reshape(seen, ops.constant([0, 0, width]), True)
    mixed = named(product(joined, weight(rng, width, width)), "mixed")
    logits = named(product(ops.add(x, mixed), weight(rng, width, 50)), "logits")
    return ov.Model([ops.result(logits)], sinks, [ids, beams], "decoder")
