"""What OpenVINO complains of, as refusals in plain words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from workers.errors import FractuneError, OutOfMemory, UnreadableModel, UnsupportedOperation

RAISED = (RuntimeError, UnicodeDecodeError, IndexError, OverflowError, MemoryError)
MOST_READ = 20_000  # characters of a complaint; a hostile name can be of any length
LONGEST = 500

NOISE = re.compile(
    r"Exception from \S+:\d+:|Check '.*?' failed at \S+:\d+:|FrontEnd API failed with \w+:?|Loading input model"
    r"|Model wasn't fully converted\. Failed operations detailed log:|Unable to read the model: \"[^\"]*\""
    r"|Please check that model format.*|To facilitate the conversion of unsupported operations.*|\bsrc/\S+:\d+:?",
)
UNKNOWN_OPERATION = (
    re.compile(r"No conversion rule found for operations: ([^\n]+)"),
    re.compile(r"doesn't contain the operation with type: (\S+)"),
    re.compile(r"Cannot create (\S+) layer"),
)
RUNTIME = "com.microsoft."  # the domain of operations that ONNX Runtime fuses others into
OPTIMISED = "ONNX Runtime has optimised the model: give the one from before, or save it at the level ORT_ENABLE_BASIC."


@contextmanager
def refusing(attempt: str) -> Iterator[None]:
    """Turn what OpenVINO raises in the block into UnsupportedOperation, OutOfMemory or UnreadableModel.

    `attempt` says what the block does, as in "OpenVINO cannot {attempt}".
    """
    try:
        yield
    except RAISED as error:
        raise _refusal(error, attempt) from error


def _refusal(error: BaseException, attempt: str) -> FractuneError:
    text = str(error)[:MOST_READ]
    if isinstance(error, MemoryError) or "bad_alloc" in text:
        return OutOfMemory(f"OpenVINO cannot {attempt} within the memory it may use.")
    operations = [name for pattern in UNKNOWN_OPERATION for name in pattern.findall(text)]
    if operations:
        hint = OPTIMISED if any(RUNTIME in name for name in operations) else None
        return UnsupportedOperation(f"OpenVINO does not implement: {plain_sentence(', '.join(operations))}", hint=hint)
    return UnreadableModel(f"OpenVINO cannot {attempt}: {plain_sentence(text)}")


def plain_sentence(text: str) -> str:
    """One paragraph without source locations, control characters and repetition of the obvious."""
    words = " ".join(NOISE.sub(" ", text[:MOST_READ]).split())
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
    if not shown:
        return "it gives no reason."
    return shown[: LONGEST - 3] + "..." if len(shown) > LONGEST else shown.rstrip(". ") + "."
