"""NNCF as a part of a job: its progress is told and not drawn, its log joins the job's, its inferences keep to the threads."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openvino as ov
from nncf.common.logging.track_progress import track
from nncf.openvino.engine import OVCompiledModelEngine, OVNativeEngine
from nncf.openvino.graph.model_utils import model_has_state

from workers.ir.graph.frontier import EXACT
from workers.passes.hidden_frameworks import only_openvino

Tell = Callable[[str, int, int], None]  # what is being done, items done, items in all


@contextmanager
def quiet_nncf(tell: Tell, threads: int) -> Iterator[None]:
    """Within the block NNCF prints nothing, forks nothing and imports no other framework; `tell` hears of each item."""

    def each(loop: Any) -> Iterator[Any]:
        items = loop.sequence if loop.total else list(loop.sequence)
        total = int(loop.total or len(items))
        for number, item in enumerate(items):
            yield item
            tell(loop.description, number + 1, total)

    def compile_model(engine: OVNativeEngine, model: ov.Model, use_fp32_precision: bool = True) -> None:
        compiled = ov.Core().compile_model(model, "CPU", {**EXACT, "INFERENCE_NUM_THREADS": threads})
        engine.engine = OVCompiledModelEngine(compiled, model_has_state(model))

    log = logging.getLogger("nncf")
    changes = [
        (track, "__iter__", each),
        (track, "__enter__", lambda loop: loop),
        (track, "__exit__", lambda loop, *error: None),
        (track, "update", lambda loop, advance, **ignored: None),
        (OVNativeEngine, "__init__", compile_model),
        (log, "handlers", []),
        (log, "propagate", True),
    ]
    before = [getattr(owner, name) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        with only_openvino():
            yield
    finally:
        for (owner, name, _), value in zip(changes, before, strict=True):
            setattr(owner, name, value)
