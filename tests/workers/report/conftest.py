"""A report as a job makes it, small."""

import pytest

from workers.machine import fingerprint
from workers.recipe import Recipe
from workers.recipe.skipped_layer import SkippedLayer
from workers.report import (
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
    StageTime,
    Tensor,
)
from workers.statistics.constraint import Verdict
from workers.statistics.decisions import OutputKind
from workers.statistics.intervals import Interval

AGREEMENT = Interval(0.963, 0.949, 0.973)


@pytest.fixture
def fidelity() -> Fidelity:
    output = OutputFidelity(
        name="logits",
        kind=OutputKind.CLASSES,
        n=1017,
        agreement=AGREEMENT,
        foreground_agreement=None,
        kl_divergence=Interval(0.055, 0.040, 0.072),
        cosine=Interval(0.983, 0.982, 0.984),
        relative_error=Interval(0.031, 0.029, 0.032),
        sqnr_db=Interval(15.1, 14.9, 15.3),
    )
    return Fidelity(
        source="dataset",
        n=1017,
        headline="logits",
        agreement=AGREEMENT,
        kl_divergence=output.kl_divergence,
        cosine=output.cosine,
        relative_error=output.relative_error,
        accuracy_original=Interval(0.916, 0.898, 0.932),
        accuracy_compressed=Interval(0.910, 0.890, 0.926),
        drop=Interval(0.007, -0.004, 0.019),
        outputs=(output,),
    )


def side(times: tuple[float, ...]) -> SideBenchmark:
    return SideBenchmark(
        latency_median_ms=sorted(times)[len(times) // 2],
        latency_average_ms=sum(times) / len(times),
        latency_min_ms=min(times),
        latency_max_ms=max(times),
        latency_percentiles_ms={90: max(times), 99: max(times)},
        throughput_fps=1e3 * len(times) / sum(times),
        cpu_median_ms=0.14,
        compile_ms=60.0,
        infer_precision="bf16",
        execution_mode="PERFORMANCE",
        nstreams=1,
        nireq=1,
        kernel_precisions={"bf16": 2},
        wall_ms=times,
        cpu_ms=times,
    )


@pytest.fixture
def benchmark_report() -> Benchmark:
    return Benchmark(
        hint="latency",
        nthreads=1,
        batch_size=1,
        rounds=4,
        sessions=4,
        ratio=Ratio(value=1.03, low=0.99, high=1.05, significant=False),
        cpu_ratio=Ratio(value=1.02, low=0.99, high=1.04, significant=False),
        verdict="No significant difference in speed (ratio 1.03, 95 % interval 0.99 to 1.05).",
        original=side((0.14, 0.15, 0.16, 0.9)),
        compressed=side((0.14, 0.14, 0.15, 0.2)),
        profile=(LayerProfile(name="conv1", type="Convolution", original_ms=0.02, compressed_ms=0.018, kernel="brgconv_bf16"),),
        notes=("The machine was busy with other work.",),
    )


@pytest.fixture
def report(fidelity: Fidelity, benchmark_report: Benchmark) -> Report:
    def layer(name: str, error: float) -> LayerReport:
        return LayerReport(
            name=name,
            type="Convolution",
            method="layerwise_pruning",
            shape=(16, 3, 3, 3),
            weights=432,
            sparsity=0.35,
            relative_error=error,
            samples=1024,
            bits=21.8,
            bytes=1178,
            original_bytes=1728,
            encoding="bitmap + f32",
            error_share=error / 0.03,
        )

    return Report(
        model=ModelReport(
            name="resnet20.onnx",
            format="ONNX",
            sha256="ab" * 32,
            parameters=864,
            inputs=(Tensor(name="input", shape=(-1, 3, 32, 32), type="f32"),),
            outputs=(Tensor(name="logits", shape=(-1, 10), type="f32"),),
        ),
        recipe=Recipe.model_validate({"steps": [{"method": "layerwise_pruning", "sparsity_level": 0.35}]}),
        sparsity=0.35,
        layers=(layer("conv1", 0.01), layer("conv2", 0.02)),
        skipped=(SkippedLayer(name="fc", type="MatMul", reason="Its weights are not constant."),),
        size=Size(
            original_bytes=4000, compressed_bytes=2900, original_zip_bytes=3600, zip_bytes=2500, entropy_bits_per_weight=12.2
        ),
        fidelity=fidelity,
        benchmark=benchmark_report,
        constraint=Verdict(
            metric="accuracy",
            max_drop=0.02,
            drop_type="absolute",
            met=True,
            achieved=0.007,
            bound=0.017,
            n=1017,
            samples_needed=None,
            reason="A drop of 0.69 % on 1,017 samples.",
        ),
        calibration=CalibrationReport(source="fractals", count=1024, seed=0),
        preprocessing=PreprocessingReport(
            inputs={"input": {"layout": "NCHW", "mean_values": (123.675, 116.28, 103.53)}},
            notes=("No mean_values were given; the ImageNet values were assumed.",),
        ),
        time={"compress": StageTime(wall_s=21.7, cpu_s=20.1), "verify": StageTime(wall_s=2.3, cpu_s=2.2)},
        peak_rss_bytes=148_000_000,
        provenance=Provenance(
            inputs={"model": "ab" * 32},
            outputs={"1/model.xml": "cd" * 32},
            seed=0,
            created="2026-01-02T03:04:05Z",
            machine=fingerprint(),
        ),
    )
