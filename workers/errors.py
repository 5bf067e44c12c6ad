"""Every failure Fractune reports, as one tree with stable codes.

FractuneError
├── Refusal                     the input cannot be used; nothing was changed (exit code 2)
│   ├── UnsupportedFormat       UNSUPPORTED_FORMAT
│   ├── UnreadableModel         MODEL_UNREADABLE
│   ├── UnsupportedOperation    MODEL_UNSUPPORTED_OPERATION
│   ├── IncompleteModel         MODEL_INCOMPLETE
│   ├── NonFiniteModel          MODEL_NOT_FINITE
│   ├── UnresolvedShape         MODEL_SHAPE
│   ├── NothingToCompress       MODEL_NOTHING_TO_COMPRESS
│   ├── AlreadyQuantized        ALREADY_QUANTIZED
│   ├── NotQuantizable          MODEL_NOT_QUANTIZABLE
│   ├── NotTrainable            MODEL_NOT_TRAINABLE
│   ├── NotExportable           MODEL_NOT_EXPORTABLE
│   ├── MissingExtra            EXTRA_MISSING
│   ├── InvalidSettings         SETTINGS_INVALID
│   ├── NotExtensible           MODEL_NOT_EXTENSIBLE
│   ├── UnreadableData          DATA_UNREADABLE
│   ├── UnsafeArchive           ARCHIVE_UNSAFE
│   ├── DataMismatch            DATA_MISMATCH
│   ├── NonFiniteData           DATA_NOT_FINITE
│   ├── LabelMismatch           DATA_LABELS
│   ├── DataOverlap             DATA_OVERLAP
│   ├── DoubtfulOriginal        ORIGINAL_DOUBTFUL
│   ├── InvalidRecipe           RECIPE_INVALID
│   ├── BudgetOutOfReach        BUDGET_OUT_OF_REACH
│   └── UnmatchedScope          SCOPE_UNMATCHED
├── JobFailure                  the work could not be finished
│   ├── OutOfMemory             OUT_OF_MEMORY
│   ├── OutOfDisk               OUT_OF_DISK
│   ├── TimedOut                TIMED_OUT
│   ├── Crashed                 CRASHED
│   ├── NonFiniteResult         RESULT_NOT_FINITE
│   ├── Canceled                CANCELED
│   ├── TooManyAttempts         POISON
│   └── Internal                INTERNAL
└── RequestError                the service declines a request
    ├── InvalidRequest          INVALID_REQUEST
    ├── NotFound                NOT_FOUND
    ├── Conflict                CONFLICT
    ├── TooLarge                TOO_LARGE
    ├── MalformedRequest        REQUEST_MALFORMED
    ├── HeadersTooLarge         HEADERS_TOO_LARGE
    ├── RequestTimedOut         REQUEST_TIMEOUT
    ├── ChecksumMismatch        CHECKSUM_MISMATCH
    ├── QuotaExceeded           QUOTA_EXCEEDED
    ├── StorageFull             STORAGE_FULL
    ├── IdempotencyMismatch     IDEMPOTENCY_MISMATCH
    ├── Unauthenticated         UNAUTHENTICATED
    ├── Forbidden               FORBIDDEN
    ├── RateLimited             RATE_LIMITED
    └── Unavailable             UNAVAILABLE
"""

from collections.abc import Iterator
from typing import Any, ClassVar


class FractuneError(Exception):
    """Base of the tree; the class docstring is the default message, `hint` names the remedy."""

    code: ClassVar[str] = "INTERNAL"
    hint: str = "See the log of the job."

    def __init__(self, message: str | None = None, *, hint: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint or type(self).hint
        self.details = details
        super().__init__(self.message)


class Refusal(FractuneError):
    """The input cannot be used."""

    code = "REFUSED"
    hint = "Correct the input and submit it again."


class UnsupportedFormat(Refusal):
    """The file is not a model in a format Fractune reads."""

    code = "UNSUPPORTED_FORMAT"
    hint = (
        "Give ONNX (.onnx, or a zip with its external data), OpenVINO IR (.xml with .bin), TFLite, "
        "a TensorFlow SavedModel (folder or zip) or PaddlePaddle (.pdmodel with .pdiparams)."
    )


class UnreadableModel(Refusal):
    """The file announces a known format, but cannot be read as such."""

    code = "MODEL_UNREADABLE"
    hint = "Export the model again and check that the file was copied whole."


class UnsupportedOperation(Refusal):
    """The model uses an operation that OpenVINO does not implement."""

    code = "MODEL_UNSUPPORTED_OPERATION"
    hint = "Export the model with standard operations only."


class IncompleteModel(Refusal):
    """The model has no inputs or no outputs, or a file of its weights is missing."""

    code = "MODEL_INCOMPLETE"
    hint = "Export the whole network, with its inputs and outputs."


class NonFiniteModel(Refusal):
    """The model holds NaN or infinite weights."""

    code = "MODEL_NOT_FINITE"
    hint = "Export a checkpoint from before the training diverged."


class UnresolvedShape(Refusal):
    """An input shape is dynamic or absurd."""

    code = "MODEL_SHAPE"
    hint = "Give the shape of every input, for example --shape 'input[1,3,224,224]'."


class NothingToCompress(Refusal):
    """The model has no layer that Fractune can compress."""

    code = "MODEL_NOTHING_TO_COMPRESS"
    hint = "Give a floating-point model with Convolution or MatMul layers whose weights are constants."


class AlreadyQuantized(Refusal):
    """The model computes in integers, or stores its weights in few bits, already."""

    code = "ALREADY_QUANTIZED"
    hint = "Give the floating-point model that it was made from; the step int8 quantises it after compression."


class NotQuantizable(Refusal):
    """The model cannot be quantised to 8 bits."""

    code = "MODEL_NOT_QUANTIZABLE"
    hint = "Leave the step int8 out, or except the operations that stand in its way with ignored_scope."


class NotTrainable(Refusal):
    """The model cannot be trained."""

    code = "MODEL_NOT_TRAINABLE"
    hint = "Leave `finetune` out of the recipe, or put it before the step that writes such operations."


class NotExportable(Refusal):
    """The PyTorch module cannot be written as a file that the service reads."""

    code = "MODEL_NOT_EXPORTABLE"
    hint = "See docs/how-to/from-pytorch.md."


class MissingExtra(Refusal):
    """This needs a package that is not installed."""

    code = "EXTRA_MISSING"
    hint = "Install the extra that brings it."


class InvalidSettings(Refusal):
    """A FRACTUNE_* variable has a value that it cannot have."""

    code = "SETTINGS_INVALID"
    hint = "Correct the variable; docs/reference/settings lists all of them."


class NotExtensible(Refusal):
    """The model cannot be made larger."""

    code = "MODEL_NOT_EXTENSIBLE"
    hint = "Leave `super_network` out of the recipe, or set its width or depth to 1."


class UnreadableData(Refusal):
    """The data file is not an NPZ, an image folder or a zip of images."""

    code = "DATA_UNREADABLE"
    hint = "Give an .npz with `x` (and `y`), a folder of images or a zip of images."


class UnsafeArchive(Refusal):
    """The archive holds pickled objects, links, paths that leave it, or expands beyond the limit."""

    code = "ARCHIVE_UNSAFE"
    hint = "Pack plain files under relative names, and arrays without dtype=object."


class DataMismatch(Refusal):
    """The samples do not fit the model's input."""

    code = "DATA_MISMATCH"
    hint = "Give samples of the size and type that the model's inputs have, or set preprocessing.resize."


class NonFiniteData(Refusal):
    """The samples hold NaN or infinite values."""

    code = "DATA_NOT_FINITE"
    hint = "Remove the samples that are not finite."


class LabelMismatch(Refusal):
    """The labels do not fit the samples or the model's outputs."""

    code = "DATA_LABELS"
    hint = "Give one integer class index per sample, from 0 to classes - 1."


class DataOverlap(Refusal):
    """Samples that calibrate would also judge."""

    code = "DATA_OVERLAP"
    hint = (
        "Leave the evaluation (--eval) out: what calibration leaves over of its dataset (--data) judges then. "
        "Or give other samples for the evaluation."
    )


class DoubtfulOriginal(Refusal):
    """The original does not answer the labels, so that nothing could be told by them."""

    code = "ORIGINAL_DOUBTFUL"
    hint = "Correct the recipe's preprocessing or the labels, or set check_original to false to go on as it is."


class InvalidRecipe(Refusal):
    """The recipe is not valid."""

    code = "RECIPE_INVALID"
    hint = "See GET /v1/methods, or `fractune methods`, for methods and their knobs."


class BudgetOutOfReach(Refusal):
    """The channels that can be removed do not make up the share that the recipe asks for."""

    code = "BUDGET_OUT_OF_REACH"
    hint = "Lower sparsity_level, or take layers out of the ignored scope."


class UnmatchedScope(Refusal):
    """A rule of the ignored scope matches no layer of the model."""

    code = "SCOPE_UNMATCHED"
    hint = "Correct the rule, or set ignored_scope.validate to false."


class JobFailure(FractuneError):
    """The work could not be finished."""

    code = "BREAKDOWN"


class OutOfMemory(JobFailure):
    """The job needed more memory than its limit."""

    code = "OUT_OF_MEMORY"
    hint = "Lower calibration.count, or raise the worker's memory limit."


class OutOfDisk(JobFailure):
    """The disk is full."""

    code = "OUT_OF_DISK"
    hint = "Free space in the data directory and retry the job."


class TimedOut(JobFailure):
    """The job ran longer than its limit."""

    code = "TIMED_OUT"
    hint = "Lower calibration.count, or raise the worker's time limit."


class Crashed(JobFailure):
    """The process that worked on the model died."""

    code = "CRASHED"
    hint = "The model makes the inference runtime crash; export it again or simplify it."


class NonFiniteResult(JobFailure):
    """The compressed model returns NaN or infinite values."""

    code = "RESULT_NOT_FINITE"
    hint = "Ask for less compression, or leave the most damaged layers alone with ignored_scope."


class Canceled(JobFailure):
    """The job was canceled."""

    code = "CANCELED"
    hint = "Retry the job if this was not intended."


class TooManyAttempts(JobFailure):
    """The job's process, or its worker, was killed at every attempt."""

    code = "POISON"
    hint = "See the logs of its attempts before retrying it."


class Internal(JobFailure):
    """Fractune made a mistake."""

    code = "INTERNAL"
    hint = "Report it with the log of the job."


class RequestError(FractuneError):
    """The service declines the request."""

    code = "REQUEST"


class InvalidRequest(RequestError):
    """The request is not valid."""

    code = "INVALID_REQUEST"
    hint = "See /openapi.json for what the service takes."


class NotFound(RequestError):
    """There is no such thing."""

    code = "NOT_FOUND"
    hint = "Check the identifier."


class Conflict(RequestError):
    """The state of the resource does not allow this."""

    code = "CONFLICT"
    hint = "Read the resource again."


class TooLarge(RequestError):
    """The upload is larger than the limit."""

    code = "TOO_LARGE"
    hint = "Raise FRACTUNE_MAX_UPLOAD_BYTES, or send a smaller file."


class ChecksumMismatch(RequestError):
    """The bytes received do not have the announced SHA-256."""

    code = "CHECKSUM_MISMATCH"
    hint = "Send the file again."


class QuotaExceeded(RequestError):
    """The key has stored as much as it may."""

    code = "QUOTA_EXCEEDED"
    hint = "Delete models or datasets that are no longer needed."


class StorageFull(RequestError):
    """The disk of the service is full."""

    code = "STORAGE_FULL"
    hint = "Free space in the data directory."


class IdempotencyMismatch(RequestError):
    """The Idempotency-Key was used before with another body."""

    code = "IDEMPOTENCY_MISMATCH"
    hint = "Use a new key for a new request."


class Unauthenticated(RequestError):
    """The request carries no valid API key."""

    code = "UNAUTHENTICATED"
    hint = "Send `Authorization: Bearer KEY`."


class Forbidden(RequestError):
    """The API key does not have the role this needs."""

    code = "FORBIDDEN"
    hint = "Ask an administrator for a key with a higher role."


class MalformedRequest(RequestError):
    """The request is not valid HTTP."""

    code = "REQUEST_MALFORMED"
    hint = "The service speaks HTTP/1.1 without TLS; TLS is the task of a proxy before it."


class HeadersTooLarge(RequestError):
    """The headers of the request are too large."""

    code = "HEADERS_TOO_LARGE"
    hint = "Send fewer or shorter headers; an operator sets the limit with FRACTUNE_CONNECTIONS__HEADER_BYTES."


class RequestTimedOut(RequestError):
    """The request did not arrive in time."""

    code = "REQUEST_TIMEOUT"
    hint = "Send it again; a large file over a slow line goes in parts, see POST /v1/uploads."


class RateLimited(RequestError):
    """Too many requests."""

    code = "RATE_LIMITED"
    hint = "Wait as long as Retry-After says."


class Unavailable(RequestError):
    """A part of the service cannot be reached."""

    code = "UNAVAILABLE"
    hint = "See /readyz for the part that is down."


def by_code(kind: type[FractuneError] = FractuneError) -> dict[str, type[FractuneError]]:
    """The errors below `kind` by their codes, itself included."""
    return {kind.code: kind} | {code: found for child in kind.__subclasses__() for code, found in by_code(child).items()}


def error_kinds(kind: type[FractuneError] = FractuneError) -> Iterator[type[FractuneError]]:
    """The errors that can occur, in the order of the tree."""
    children = [child for child in kind.__subclasses__() if child.__module__ == __name__]
    for child in children:
        yield from error_kinds(child)
    if not children:
        yield kind
