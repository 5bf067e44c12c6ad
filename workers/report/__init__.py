"""What a job found out: one frozen Report, as JSON and as a page that needs nothing else."""

from workers.report.page import CONTENT_SECURITY_POLICY, Picture, render_html
from workers.report.schema import (
    Benchmark,
    CalibrationReport,
    Fidelity,
    LayerProfile,
    LayerReport,
    ModelReport,
    OutputFidelity,
    PreprocessingReport,
    Provenance,
    Ratio,
    Report,
    SideBenchmark,
    Size,
    SkippedLayer,
    StageTime,
    Tensor,
)

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "Benchmark",
    "CalibrationReport",
    "Fidelity",
    "LayerProfile",
    "LayerReport",
    "ModelReport",
    "OutputFidelity",
    "Picture",
    "PreprocessingReport",
    "Provenance",
    "Ratio",
    "Report",
    "SideBenchmark",
    "Size",
    "SkippedLayer",
    "StageTime",
    "Tensor",
    "render_html",
]
