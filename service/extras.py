"""The parts of Fractune that this machine has: what `pip install fractune` leaves out unless an extra asks for it."""

from importlib.util import find_spec
from typing import Literal

from workers.errors import MissingExtra

Extra = Literal["server", "worker", "torch", "all"]
SERVER = ("fastapi", "uvicorn", "celery", "sqlalchemy")
WORKER = ("openvino", "nncf", "scipy")
TORCH = ("torch", "onnxscript", "onnxruntime")  # to write and check ONNX on the machine of a client
PACKAGES: dict[Extra, tuple[str, ...]] = {"server": SERVER, "worker": WORKER, "torch": TORCH, "all": SERVER + WORKER}


def require(extra: Extra) -> None:
    """Raise MissingExtra, which says what to install, unless the packages of `extra` are there. Imports none of them."""
    missing = [package for package in PACKAGES[extra] if find_spec(package) is None]
    if missing:
        raise MissingExtra(f"This needs {missing[0]}, which is not installed.", hint=f"pip install 'fractune[{extra}]'")
