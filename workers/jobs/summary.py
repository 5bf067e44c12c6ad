"""A report in the few figures that listings show."""

from workers.jobs.records import JsonObject

FIGURES = {
    "sparsity": ("sparsity",),
    "original_bytes": ("size", "original_bytes"),
    "compressed_bytes": ("size", "compressed_bytes"),
    "zip_bytes": ("size", "zip_bytes"),
    "agreement": ("fidelity", "agreement", "value"),
    "accuracy_original": ("fidelity", "accuracy_original", "value"),
    "accuracy_compressed": ("fidelity", "accuracy_compressed", "value"),
    "ratio": ("benchmark", "ratio", "value"),
}


def summarize(report: JsonObject) -> JsonObject:
    """The figures of a report.json; None where it has none, as without labels or without a benchmark."""
    return {name: _dig(report, path) for name, path in FIGURES.items()}


def _dig(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
