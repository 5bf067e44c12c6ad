"""A comparison as bytes, from which another process has it again: its rows, of which all figures follow."""

from workers.evaluation.model_comparison import Comparison, OutputComparison
from workers.evaluation.tasks import Task
from workers.randomness import Stream, generator
from workers.run.candidates.records import packed, unpacked


def pack_comparison(comparison: Comparison) -> bytes:
    """The rows of a comparison; the task, and the metrics that it makes of them, are not in it."""
    outputs = [(output.name, output.reading, output.rows, output.note) for output in comparison.outputs]
    kept = (comparison.source, comparison.n, outputs, comparison.labels, comparison.notes, list(comparison.rows))
    return packed((*kept, comparison.class_names))


def unpack_comparison(record: bytes, task: Task, seed: int) -> Comparison:
    """The comparison again, by its task. Raises ValueError, KeyError or TypeError for what cannot be read."""
    source, n, outputs, labels, notes, rows, class_names = unpacked(record)
    measures = tuple(measure.resampled(generator(seed, Stream.TASK_METRICS)) for measure in task.measures(rows))
    compared = tuple(OutputComparison(name, reading, [kept], note) for name, reading, kept, note in outputs)
    return Comparison(source, n, compared, labels, notes, task, measures, rows, class_names)
