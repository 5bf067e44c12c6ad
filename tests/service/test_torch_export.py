"""`fractune export`: what a PyTorch module answers is what its file answers, and no pickle is opened."""

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch

from service import cli
from service.client import Client
from service.torch_export import export_module, load_weights
from tests.installation import Installation
from workers.errors import NotExportable
from workers.ir.graph.layers import find_layers
from workers.ir.reading.importer import load
from workers.jobs.records import Role

SOURCE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, image):
        return self.head(torch.relu(self.stem(image)).mean((2, 3)))

def build():
    return Net()
"""


def net() -> torch.nn.Module:
    namespace: dict[str, Any] = {}
    exec(SOURCE, namespace)
    module: torch.nn.Module = namespace["Net"]()
    return module


def test_an_exported_module_is_uploaded(
    service: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(SOURCE)
    out, key = tmp_path / "net.onnx", service.keys[Role.OPERATOR]
    words = ["export", f"{tmp_path}/net.py:build", "--shape", "picture[1,3,8,8]", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["fractune", *words, "--upload", "--url", service.url, "--api-key", key])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    identity = capsys.readouterr().out.strip()
    with Client(service.url, key) as client:
        assert client.upload_model(out) == identity  # the same file again
    assert identity == sha256(out.read_bytes()).hexdigest()


def test_a_module_and_its_weights_become_a_file_of_any_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = net()
    (tmp_path / "net.py").write_text(SOURCE)
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    out = tmp_path / "net.onnx"
    words = ["export", f"{tmp_path}/net.py:build", "--shape", "picture[1,3,8,8]", "--weights", f"{tmp_path}/weights.pt"]
    monkeypatch.setattr(sys, "argv", ["fractune", *words, "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "batch open" in capsys.readouterr().err
    imported = load(out)
    assert [entry.batch_axis for entry in imported.inputs] == [0]
    assert [layer.shape for layer in find_layers(imported.model)[0]] == [(8, 3, 3, 3), (5, 8)]
    model = ov.Core().read_model(out)
    assert [port.get_any_name() for port in model.inputs] == ["picture"]
    values = np.random.default_rng(0).normal(size=(5, 3, 8, 8)).astype(np.float32)
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])[0]
    with torch.no_grad():
        np.testing.assert_allclose(found, module(torch.from_numpy(values)).numpy(), rtol=1e-4, atol=1e-5)


class InsistsOnItsBatch(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 3, 2).sum(2)


def test_a_batch_that_cannot_be_open_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotExportable) as refused:
        export_module(InsistsOnItsBatch(), [torch.ones(2, 6)], tmp_path / "m.onnx")
    assert "--fixed-batch" in refused.value.hint
    assert export_module(InsistsOnItsBatch(), [torch.ones(2, 6)], tmp_path / "m.onnx", open_batch=False).inputs == ("x",)


def test_a_pickled_module_is_not_opened(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(NotExportable, match="tensors only") as refused:
        load_weights(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    assert "state_dict" in refused.value.hint
    torch.save({"state_dict": torch.nn.Linear(3, 2).state_dict()}, tmp_path / "other.pt")
    with pytest.raises(NotExportable, match="not the module's"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "other.pt")


@pytest.mark.parametrize("source", ["nothing", "no_such_module:build", "os:no_such_function"])
def test_what_is_not_there_is_named(source: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fractune", "export", source])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert source in capsys.readouterr().err.replace("\n", "")
