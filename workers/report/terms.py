"""What every figure means, in one plain sentence and a little more: for the report, the dashboard and the documents alike."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """A figure's name, what it is, and what to make of it."""

    title: str
    meaning: str
    more: str


TERMS = {
    "zipped": Term(
        "Size, zipped",
        "The bytes of model.xml and model.bin in a zip: what is downloaded.",
        "Zeros and repeated values take little room in a zip, so that pruning shows here more than on disk.",
    ),
    "disk": Term(
        "Size on disk",
        "The bytes of model.xml and model.bin as OpenVINO reads them.",
        "Fewer bits in a weight show here at once; zeros only where the weights are stored in a form that leaves them out.",
    ),
    "entropy": Term(
        "Entropy of a weight",
        "The bits that a weight would need on average under the best code for its values.",
        "It tells how well the weights can be packed, whatever the file format. Codes of int8 come to 8 at most, with the "
        "scales of small layers to a little more; far above 8, weights that are not zero are floating point, of up to 32.",
    ),
    "zeros": Term(
        "Zeros",
        "The share of the weights in the compressed layers that are exactly zero.",
        "Zeros make the zip smaller. By themselves they make no dense kernel faster.",
    ),
    "accuracy": Term(
        "Accuracy, or the task's own metric",
        "How often the model is right by your labels: accuracy for classes, mAP for boxes, mIoU for maps of classes.",
        "It needs labels. The original is measured on the same samples, and should come out at what you know of it: "
        "if not, the preprocessing is wrong.",
    ),
    "drop": Term(
        "Drop",
        "What the metric has lost from the original to the compressed model, in points: from 92.0 to 91.5 % is 0.5 points. "
        "Below 0 it has gained.",
        "It is paired: both models answer the same samples, so that its interval is narrower than those of the two metrics. "
        "If the interval holds 0, the samples cannot tell the models apart.",
    ),
    "agreement": Term(
        "Decisions unchanged",
        "The share of samples for which both models decide alike; it needs no labels.",
        "A changed decision need not be a wrong one: where the original errs, the compressed model may be right.",
    ),
    "foreground": Term(
        "Decisions in the foreground",
        "The same share, only where either model decides otherwise than the commonest decision.",
        "In maps and detectors nearly everything is background, on which any two models agree.",
    ),
    "kl": Term(
        "KL divergence",
        "How far the compressed model's probabilities are from the original's, in nats; 0 means the same.",
        "It sees changes of confidence long before a decision changes.",
    ),
    "cosine": Term(
        "Cosine",
        "The cosine of the angle between the two models' outputs; 1 means the same direction.",
        "For embeddings, which are compared by their direction, this is the figure to look at.",
    ),
    "relative_error": Term(
        "Relative error",
        "The energy of the difference between the two outputs, as a share of the energy of the original's; 0 means the same.",
        "For a layer it is taken on the calibration samples. What matters in the end is the model's own output.",
    ),
    "sqnr": Term(
        "SQNR",
        "Signal to quantisation noise: the relative error in decibels, more is better.",
        "10 dB less is ten times the error.",
    ),
    "interval": Term(
        "95 % interval",
        "The values that the true figure may well have, given so few samples: 95 of 100 such intervals hold it.",
        "More samples make it narrower: four times as many, half as wide.",
    ),
    "verdict": Term(
        "Met, not met, unverified",
        "Met: even the upper end of what may have been lost is within your limit. Not met: what was seen is beyond it.",
        "Unverified: what was seen is within the limit, but the samples are too few, or made up, to be sure. "
        "The report says how many samples would tell.",
    ),
    "latency": Term(
        "Time per inference",
        "The median time from one input to its answer, with the original and the compressed model measured in turns.",
        "Both run in fresh compilations on the worker's processor; another processor gives other figures.",
    ),
    "faster": Term(
        "Times as fast",
        "The original's time divided by the compressed model's: above 1 is faster.",
        "If the interval holds 1, no difference was shown. It is the median over rounds in which both models ran one after the "
        "other, so that a busy machine harms both alike.",
    ),
    "throughput": Term(
        "Throughput",
        "How many samples the model answers in a second while several requests run side by side.",
        "It says nothing about how soon one answer comes.",
    ),
    "processor_time": Term(
        "Processor time",
        "The time that all cores together spend on one inference.",
        "It is what a shared machine, or a bill by the core, feels.",
    ),
    "memory": Term(
        "Memory",
        "What a process needs more once the model is loaded and has answered, measured in a fresh process.",
        "Weights that are decoded on loading take as much memory as the original's.",
    ),
    "output_error": Term(
        "Output error",
        "What the model's own outputs lose when this layer alone is compressed.",
        "Layers with a large one are the first to be left alone.",
    ),
    "error_share": Term(
        "Share of error",
        "This layer's part of the sum of all layers' output errors.",
        "A few layers often carry most of it: leaving them alone costs little size.",
    ),
    "bits": Term(
        "Bits",
        "The bits that a weight of the layer takes on average in model.bin, scales included.",
        "Floating point takes 32 or 16. What is above the 8 of int8, or above the bits asked for, are the scales; zeros that "
        "are left out bring it below. The small line names the form in which the weights are stored.",
    ),
    "precision": Term(
        "Precision, f32 or bf16",
        "The numbers that the processor computed with: f32 has 32 bits; bf16 has 16, the same range, fewer digits; i8 has 8.",
        "OpenVINO takes bf16 by itself where the processor multiplies it faster, for the original as for the compressed model: "
        "the factor of speed compares like with like. Answers are compared in f32. `benchmark.infer_precision` sets another.",
    ),
    "smaller": Term(
        "Smaller",
        "How many times the zipped files have shrunk: 4 means a quarter of the original's size.",
        "Both sizes, zipped and on disk, stand on the job's page.",
    ),
    "answers": Term(
        "Answers",
        "What has become of the answers: with labels the drop of accuracy in points, which is below 0 where it has gained; "
        "else the share that is unchanged.",
        "Figures of jobs that were judged on other samples cannot be compared.",
    ),
    "error": Term(
        "Error of a layer",
        "The relative error of the layer's outputs on the calibration samples.",
        "It grows with depth, as errors of earlier layers come in.",
    ),
    "harm": Term(
        "Harm",
        "The relative error of the outputs with this one operation in int8.",
        "Harms of several operations do not add up exactly; the verdict on the samples that judge is what counts.",
    ),
}
