"""What a layer cost and saved."""

from workers.allocation.error_attribution import next_run, ranks, saved_times
from workers.report import LayerProfile, LayerReport


def layer(name: str, share: float, original: int, left: int) -> LayerReport:
    return LayerReport(
        name=name,
        type="Convolution",
        method="inq",
        shape=(8, 8),
        weights=64,
        sparsity=0.0,
        relative_error=share,
        samples=64,
        bits=4.0,
        bytes=left,
        original_bytes=original,
        encoding="u4",
        error_share=share,
    )


def test_the_next_run_spares_what_harms_most_per_byte() -> None:
    layers = [layer("small", 0.4, 100, 20), layer("large", 0.4, 10_000, 2_000), layer("harmless", 0.2, 10_000, 2_000)]
    assert next_run(layers) is None, "half of the error costs half of the gain"
    advice = next_run([layer("small", 0.6, 100, 20), *layers[1:]])
    assert advice.ignored_scope == {"names": ("small",)}
    assert (advice.error_share, advice.bytes_given_up) == (0.6, 80)


def test_no_advice_to_leave_everything_alone() -> None:
    assert next_run([layer("only", 1.0, 100, 20)]) is None
    assert next_run([]) is None


def test_ranks_begin_with_the_largest_share() -> None:
    assert ranks({"a": 0.2, "b": 0.7, "c": 0.1}) == {"b": 1, "a": 2, "c": 3}


def test_times_are_saved_where_both_models_have_the_operation() -> None:
    rows = [
        LayerProfile(name="a", type="Convolution", original_ms=2.0, compressed_ms=0.5, kernel="u8"),
        LayerProfile(name="b", type="Convolution", original_ms=2.0, compressed_ms=None, kernel="u8"),
    ]
    assert saved_times(rows) == {"a": 1.5}
