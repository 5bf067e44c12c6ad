"""NNCF in a process of its own, for what is imported stays."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")

JOB = """
import sys
from workers.passes import _module
from workers.methods.int8 import Int8
from workers.methods.finetune import Finetune
assert _module(Int8()).rewrite
assert not {"torch", "onnx"} & sys.modules.keys(), "NNCF has imported a framework"
assert _module(Finetune()).rewrite and "torch" in sys.modules
"""


def test_int8_imports_no_other_framework_and_training_its_own_afterwards() -> None:
    ended = subprocess.run([sys.executable, "-c", JOB], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
