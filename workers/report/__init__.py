"""What a job found out: one frozen Report, as JSON and as a page that needs nothing else."""

from workers.report.card import render_card
from workers.report.page import content_security_policy, render_html
from workers.report.sample_gallery import Picture, save_pictures, telling_pictures
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
    TrainingReport,
)

__all__ = [
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
    "TrainingReport",
    "content_security_policy",
    "render_card",
    "render_html",
    "save_pictures",
    "telling_pictures",
]
