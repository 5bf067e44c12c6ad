"""A report in the few figures that listings show."""

from workers.jobs.records import JsonObject

FIGURES = {
    "sparsity": ("sparsity",),
    "original_bytes": ("size", "original_bytes"),
    "compressed_bytes": ("size", "compressed_bytes"),
    "original_zip_bytes": ("size", "original_zip_bytes"),
    "zip_bytes": ("size", "zip_bytes"),
    "fidelity_source": ("fidelity", "source"),
    "judging_samples": ("fidelity", "n"),
    "agreement": ("fidelity", "agreement", "value"),
    "agreement_low": ("fidelity", "agreement", "low"),
    "agreement_high": ("fidelity", "agreement", "high"),
    "accuracy_original": ("fidelity", "accuracy_original", "value"),
    "accuracy_compressed": ("fidelity", "accuracy_compressed", "value"),
    "drop": ("fidelity", "drop", "value"),
    "drop_low": ("fidelity", "drop", "low"),
    "drop_high": ("fidelity", "drop", "high"),
    "ratio": ("benchmark", "ratio", "value"),
    "ratio_low": ("benchmark", "ratio", "low"),
    "ratio_high": ("benchmark", "ratio", "high"),
    "assumed": ("assumed",),
}


def summarize(report: JsonObject) -> JsonObject:
    """The figures of a report.json; None where it has none, as without labels or without a benchmark."""
    return {name: _dig(report, path) for name, path in FIGURES.items()}


def _dig(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
