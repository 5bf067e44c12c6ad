"""The JSON of the report is a contract."""

import json
import subprocess
import sys

from workers.report import Report


def test_json_gives_the_report_back(report: Report) -> None:
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_keys_scripts_rely_on_are_there(report: Report) -> None:
    written = json.loads(report.model_dump_json())
    assert {"sparsity", "layers", "skipped", "size", "fidelity", "benchmark", "time", "peak_rss_bytes"} <= set(written)
    assert {"constraint", "calibration", "preprocessing", "recipe", "warnings", "provenance"} <= set(written)
    assert {"name", "type", "method", "sparsity", "relative_error", "bits", "bytes"} <= set(written["layers"][0])
    assert {"original_bytes", "compressed_bytes", "zip_bytes", "entropy_bits_per_weight"} <= set(written["size"])
    assert set(written["fidelity"]["agreement"]) == {"value", "low", "high"}
    assert {"n", "accuracy_original", "accuracy_compressed"} <= set(written["fidelity"])
    assert {"value", "low", "high"} <= set(written["benchmark"]["ratio"])
    assert set(written["time"]["compress"]) == {"wall_s", "cpu_s"}


def test_the_schema_describes_every_part() -> None:
    schema = Report.model_json_schema(mode="serialization")
    assert schema["properties"]["constraint"]["description"]
    assert {"Verdict", "Fidelity", "Benchmark", "LayerReport"} <= set(schema["$defs"])


def test_reading_a_report_needs_no_inference_runtime() -> None:
    program = "import sys, workers.report, workers.statistics.constraint; sys.exit('openvino' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
