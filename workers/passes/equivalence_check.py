"""What a pass that calls itself exact is held to."""

import numpy as np
import openvino as ov

from workers.errors import Internal
from workers.ir.graph.frontier import EXACT
from workers.passes.state import RunContext

SAMPLES = 8
TOLERANCE = 1e-4  # of the largest output: sums are taken in another order


def check_equivalence(before: ov.Model, after: ov.Model, context: RunContext, name: str) -> None:
    """Compare the outputs of two models of batch 1 on calibration samples; raises Internal where they differ."""
    config = {**EXACT, "INFERENCE_NUM_THREADS": context.threads}
    requests = [ov.Core().compile_model(model, "CPU", config).create_infer_request() for model in (before, after)]
    for start in range(min(SAMPLES, context.samples.count)):
        inputs = context.samples.batch(start, start + 1)
        expected, found = (list(request.infer(inputs).values()) for request in requests)
        for old, new in zip(expected, found, strict=True):
            reach = float(np.abs(old).max(initial=0))
            if old.shape != new.shape or not np.allclose(new, old, rtol=0, atol=TOLERANCE * reach, equal_nan=True):
                raise Internal(f"The step {name} was to leave the outputs as they are, and did not.")
