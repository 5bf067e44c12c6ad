"""How far a student is from its teacher: class probabilities, other outputs, and what layers read on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from workers.statistics.decisions import OutputKind, Reading

TINY = 1e-12
DECIDED = (OutputKind.CLASSES, OutputKind.CLASS_MAP)
SHARPNESS = tuple(2 ** (eighths / 8) for eighths in range(-8, 9))  # factors of a student's scores
Run = tuple[Sequence[Tensor], Mapping[str, Tensor]]  # outputs, and features by name


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a student's run against the teacher's on the same inputs."""

    readings: Sequence[Reading]  # of the outputs
    samples: int  # of a batch
    temperature: float
    feature_weight: float
    label_weight: float

    def training(self, student: Run, teacher: Run, labels: Tensor | None) -> Tensor:
        """What is minimised."""
        loss = self.outputs(student[0], teacher[0], self.temperature)
        if labels is not None and self.label_weight:
            loss = (1 - self.label_weight) * loss + self.label_weight * self._cross_entropy(student[0], labels)
        if self.feature_weight and student[1]:
            apart = [relative_error(student[1][name], teacher[1][name]) for name in student[1]]
            loss = loss + self.feature_weight * torch.stack(apart).mean()
        return loss

    def outputs(self, student: Sequence[Tensor], teacher: Sequence[Tensor], temperature: float = 1.0) -> Tensor:
        """The sum over the outputs: divergences in nats where classes are told apart, relative errors elsewhere."""
        return self.by_sample(student, teacher, temperature).mean()

    def by_sample(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], temperature: float = 1.0, sharpness: float = 1.0
    ) -> Tensor:
        """The same of every sample, (samples,); a relative error is told in units of the batch's mean energy.

        `sharpness` multiplies the student's scores of classes: its answers are as right, and more certain.
        """
        parts = [
            self._divergence(reading, s, t, temperature, sharpness) if reading.kind in DECIDED else self._relative_error(s, t)
            for reading, s, t in zip(self.readings, student, teacher, strict=True)
            if reading.kind is not OutputKind.CODES
        ]
        return torch.stack(parts).sum(0)

    @property
    def sharpness(self) -> tuple[float, ...]:
        """Factors of the student's scores to try where a state is judged: how certain it is says little of what it can tell."""
        return SHARPNESS if any(reading.kind in DECIDED for reading in self.readings) else (1.0,)

    def _divergence(self, reading: Reading, student: Tensor, teacher: Tensor, temperature: float, sharpness: float) -> Tensor:
        """Kullback-Leibler divergence of softened probabilities, times T² as its gradients shrink with it (Hinton 2015)."""
        log_s = (class_logits(reading, self.samples, student) * (sharpness / temperature)).log_softmax(-1)
        log_t = (class_logits(reading, self.samples, teacher) / temperature).log_softmax(-1)
        return (log_t.exp() * (log_t - log_s)).sum(-1).reshape(self.samples, -1).mean(1) * temperature**2

    def _relative_error(self, found: Tensor, expected: Tensor) -> Tensor:
        if found.numel() % self.samples:  # one value for the whole batch
            return relative_error(found, expected).expand(self.samples)
        energy = (expected - expected.mean()).square().sum() / self.samples
        return (found - expected).square().reshape(self.samples, -1).sum(1) / (energy + TINY)

    def _cross_entropy(self, outputs: Sequence[Tensor], labels: Tensor) -> Tensor:
        decided = [
            (reading, value)
            for reading, value in zip(self.readings, outputs, strict=True)
            if reading.kind is OutputKind.CLASSES
        ]
        return torch.stack(
            [F.cross_entropy(class_logits(pair[0], self.samples, pair[1]).flatten(0, -2), labels) for pair in decided]
        ).mean()


def relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """‖found − expected‖² / ‖expected − mean‖²."""
    energy = (expected - expected.mean()).square().sum()
    return (found - expected).square().sum() / (energy + TINY)


def class_logits(reading: Reading, samples: int, value: Tensor) -> Tensor:
    """Scores with the classes on the last axis, (n, ..., k)."""
    by_sample = value if len(value) == samples else value.reshape(samples, -1, *value.shape[1:])
    scores = by_sample.movedim(reading.class_axis + 1, -1)
    if reading.kind is OutputKind.CLASSES:
        scores = scores.reshape(len(scores), -1)
    return scores.clamp(min=TINY).log() if reading.normalised else scores
