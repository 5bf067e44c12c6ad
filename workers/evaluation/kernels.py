"""Which kernels OpenVINO picked for a model, and how long each operation takes."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from workers.report import LayerProfile

ROUNDS = 10
WARM_UP_ROUNDS = 2
PRODUCTS = frozenset({"Convolution", "Deconvolution", "FullyConnected", "MatMul", "RNNSeq", "RNNCell"})

Times = dict[str, tuple[str, str, float]]  # operation -> type, kernel, ms per inference


def precisions(compiled: ov.CompiledModel) -> dict[str, int]:
    """How many convolutions and matrix products run in each precision, commonest first."""
    kinds = Counter(
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) in PRODUCTS
    )
    return dict(kinds.most_common())


def profile(
    models: Sequence[ov.Model], inputs: Mapping[str, NDArray[Any]], config: Mapping[str, Any]
) -> tuple[LayerProfile, ...]:
    """Mean time of every executed operation of the original and the compressed model, which have static shapes."""
    requests = [_request(model, inputs, config) for model in models]
    seen: list[list[Times]] = [[], []]
    for round_number in range(WARM_UP_ROUNDS + ROUNDS):
        for request, times in zip(requests, seen, strict=True):
            request.infer(share_outputs=True)
            if round_number >= WARM_UP_ROUNDS:
                times.append(_times(request))
    before, after = (_mean(times) for times in seen)
    return tuple(_row(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after]))


def _request(model: ov.Model, inputs: Mapping[str, NDArray[Any]], config: Mapping[str, Any]) -> ov.InferRequest:
    request = ov.Core().compile_model(model, "CPU", {**config, "PERF_COUNT": True}).create_infer_request()
    for name, value in inputs.items():
        request.set_tensor(name, ov.Tensor(value.copy()))
    return request


def _times(request: ov.InferRequest) -> Times:
    return {
        entry.node_name: (entry.node_type, entry.exec_type, entry.real_time.total_seconds() * 1e3)
        for entry in request.profiling_info
        if entry.status == ov.ProfilingInfo.Status.EXECUTED
    }


def _mean(rounds: list[Times]) -> Times:
    """The mean time over the rounds; type and kernel do not change."""
    sums: defaultdict[str, float] = defaultdict(float)
    for times in rounds:
        for name, (_, _, milliseconds) in times.items():
            sums[name] += milliseconds / len(rounds)
    kinds = {name: entry for times in rounds for name, entry in times.items()}
    return {name: (*kinds[name][:2], milliseconds) for name, milliseconds in sums.items()}


def _row(name: str, before: tuple[str, str, float] | None, after: tuple[str, str, float] | None) -> LayerProfile:
    kind, kernel, _ = after or before or ("", "", 0.0)
    return LayerProfile(
        name=name,
        type=kind,
        kernel=kernel,
        original_ms=before[2] if before else None,
        compressed_ms=after[2] if after else None,
    )
