"""Models of OpenVINO on their way to the sandboxed child and back."""

from pathlib import Path

import openvino as ov


def save(model: ov.Model, xml: Path) -> Path:
    """Write `xml` and the .bin beside it, in the precision that the constants have; gives back `xml`."""
    ov.save_model(model, xml, compress_to_fp16=False)
    return xml


def read(xml: Path) -> ov.Model:
    """The model of `xml`, with its weights in memory: the files may go."""
    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})
    return core.read_model(xml)
