"""Raw outputs of detection heads as people export them, turned into boxes, scores and classes: one file a family."""

from collections.abc import Sequence

from workers.errors import InvalidRecipe
from workers.evaluation.decoders.centernet import CenterNet
from workers.evaluation.decoders.detections import Decoder, Detections, Frame, Output, overlaps
from workers.evaluation.decoders.nanodet import NanoDet, NanoDetPlus
from workers.evaluation.decoders.ssd import DetectionOutput, ScoredBoxes
from workers.evaluation.decoders.suppressed import Suppressed
from workers.evaluation.decoders.yolo import YoloV5, YoloV8, YoloV10, YoloX
from workers.evaluation.decoders.yunet import YuNet

__all__ = ["HEADS", "Decoder", "Detections", "Frame", "Output", "find_decoder", "overlaps"]

# In the order in which they are tried: from heads that tell most about themselves to those that tell least.
HEADS = (YuNet, NanoDet, NanoDetPlus, Suppressed, DetectionOutput, CenterNet, YoloV5, YoloV8, YoloX, ScoredBoxes, YoloV10)


def find_decoder(outputs: Sequence[Output], frame: Frame, name: str | None = None) -> Decoder | None:
    """The decoder whose head has such outputs, or the one of that name.

    Raises InvalidRecipe where the named one does not fit.
    """
    fitting = (head.match(outputs, frame) for head in HEADS if name in (None, head.name))
    found = next((decoder for decoder in fitting if decoder is not None), None)
    if found is None and name is not None:
        shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in outputs)
        known = ", ".join(head.name for head in HEADS)
        raise InvalidRecipe(
            f"decoder: {name!r} does not fit the outputs {shapes}.", hint=f"There are {known}; or give a model."
        )
    return found
