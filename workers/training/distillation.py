"""The student learns from the teacher: Adam, a falling rate, and the best state by samples that neither train nor judge."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - the error alone: torch raises it for a damaged file
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from workers.methods.finetune import Finetune
from workers.training.batches import TrainingBatch, TrainingBatches
from workers.training.losses import Loss, Run
from workers.training.network import Network
from workers.training.parametrizations import QuantizedParameter, size_of
from workers.training.teacher import Teacher

log = structlog.get_logger(__name__)
CHECKS = 25  # selections over the whole training
SAVE_EVERY_S = 60.0
FORMAT = 3  # of saved states
WARM_UP = 0.05  # of the training: the rate rises
BLOCKWISE = 0.25  # of the training, where the student is smooth and the recipe does not say
AVERAGED = 0.98  # of the average of the values stays at every step: it reaches back fifty steps
HALF_WAY = 0.5  # from the start to the average
CERTAIN = 1.645  # standard errors that a gain must pass: one-sided 95 %
SETBACK = 1.5  # times the best loss: further behind, a smooth student goes back to its best state
SMALLER = 0.25  # of the rate, after a setback
LARGEST_NORM = 1.0  # gradients are scaled down to it

Tell = Callable[[int, int, str], None]  # done, total, message


@dataclass(slots=True)
class LearningCurve:
    """What was seen on the way: (step, mean loss in training since the last check, loss of the selecting samples)."""

    points: list[tuple[int, float, float]] = field(default_factory=list)
    kept: int = 0  # the step of the state that was kept; 0 is the model as it came
    held: list[Tensor] = field(default_factory=list)  # of every point, the loss of each of the held-back samples (n,)

    @property
    def best(self) -> float:
        """The smallest loss so far."""
        return float(torch.stack(self.held).mean(1).min())


class Student(nn.Module):
    """The trained constants of a network by name: weights that stay in their sets, and biases."""

    def __init__(self, weights: Mapping[str, QuantizedParameter], biases: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = [*weights], [*biases]
        self.weights = nn.ModuleList(weights.values())
        self.biases = nn.ParameterList(nn.Parameter(value.clone()) for value in biases.values())

    def forward(self) -> dict[str, Tensor]:
        """The value of every trained constant."""
        values = [weight() for weight in self.weights]
        return dict(zip(self.names[0], values, strict=True)) | dict(zip(self.names[1], self.biases, strict=True))

    @property
    def smooth(self) -> bool:
        """Whether training can go on from any of its values; see `QuantizedParameter`."""
        return all(weight.smooth for weight in self.weights)

    def assign(self, values: Mapping[str, Tensor]) -> None:
        """Go on from other values of a smooth student."""
        for name, weight in zip(self.names[0], self.weights, strict=True):
            weight.assign(values[name])  # type: ignore[operator]
        with torch.no_grad():
            for name, bias in zip(self.names[1], self.biases, strict=True):
                bias.copy_(values[name])

    @property
    def complete(self) -> bool:
        """Whether all weights are in their sets."""
        return all(weight.complete for weight in self.weights)

    def settle(self, progress: float) -> None:
        """See `QuantizedParameter.settle`."""
        for weight in self.weights:
            weight.settle(progress)  # type: ignore[operator]

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters and their learning rates: `rate` is relative to their size."""
        groups = [group for weight in self.weights for group in weight.rates(rate)]  # type: ignore[operator]
        usual = size_of(torch.cat([bias.reshape(-1) for bias in self.biases])) if len(self.biases) else 0.0
        return [*groups, {"params": list(self.biases), "lr": rate * usual}]

    def values(self) -> dict[str, Tensor]:
        """A copy of all trained constants, as inference will use them."""
        with torch.no_grad():
            return {name: value.detach().clone() for name, value in self().items()}


def confirmed(held: Tensor) -> bool:
    """Whether training helps beyond chance, by losses (states, n) of held-back samples; the first state is the start.

    The best of many states is flattered by the samples that choose it. So one half of them chooses and the other tells what
    that has gained, and the other way round. The mean loss must have fallen, and the mean of log(loss + the start's mean loss)
    beyond chance: divergences have a long tail, and a few samples that are far off would drown what all others say.
    """
    halves = (held[:, ::2], held[:, 1::2]) if held.shape[1] > 1 else (held, held)
    chosen = torch.cat([other[[0, int(own.mean(1).argmin())]] for own, other in (halves, halves[::-1])], dim=1)
    usual = held[0].mean()
    before, after = (chosen + usual).log()
    gains = before - after
    chance = CERTAIN * float(gains.std()) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return float(gains.mean()) > chance and float((chosen[0] - chosen[1]).mean()) > 0


@dataclass(slots=True)
class Distillation:
    """A training run that can be interrupted: its state goes to `folder`, where one is given, and is taken up again."""

    step: Finetune  # settled
    teacher: Teacher
    network: Network
    student: Student
    batches: TrainingBatches
    loss: Loss
    features: Sequence[str]
    folder: Path | None = None
    curve: LearningCurve = field(default_factory=LearningCurve)
    number: int = 0  # steps done
    seconds: float = 0.0
    caution: float = 1.0  # part of the learning rate that setbacks have left
    average: dict[str, Tensor] = field(default_factory=dict)  # of a smooth student's values, the latest counting most

    def run(self, start: Mapping[str, Tensor], tell: Tell) -> Mapping[str, Tensor]:
        """The trained constants of the best state; `start` are those of the model as it came, which may be the best."""
        optimizer = torch.optim.Adam(self.student.groups(self.step.learning_rate))
        rates = [group["lr"] for group in optimizer.param_groups]
        selection = [(batch, self.teacher.run(batch.feeds)) for batch in self.batches.selection()]
        self.curve.held.append(self._judge(start, selection))
        self.curve.points.append((0, self.curve.best, self.curve.best))
        best = self._restore(optimizer, dict(start))
        began, saved, since, sums = time.monotonic() - self.seconds, time.monotonic(), 0, 0.0
        due = self._next_check()
        while self.progress < 1:
            self.student.settle(self.progress)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self._share_of_rate()
            sums, since = sums + self._learn(optimizer), since + 1
            self.number, self.seconds = self.number + 1, time.monotonic() - began
            if self.progress < due:
                continue
            self.student.settle(min(self.progress, 1.0))
            best = self._check(sums / since, selection, start, best)
            self._step_back(optimizer, best)
            due, sums, since = self._next_check(), 0.0, 0
            tell(round(1000 * min(self.progress, 1)), 1000, f"finetune: loss {self.curve.points[-1][2]:.4f}")
            if time.monotonic() - saved > SAVE_EVERY_S:
                self._save(optimizer, best)
                saved = time.monotonic()
        if confirmed(torch.stack(self.curve.held)):
            return best
        self.curve.kept = 0
        return start

    @property
    def progress(self) -> float:
        """How far the training is; 1 or more at its end."""
        timed = self.seconds / self.step.max_time if self.step.max_time else 0.0
        return max(self.number / (self.step.steps or 1), timed)

    def _share_of_rate(self) -> float:
        """What part of the learning rate is in force: it warms up, falls as a cosine, and is less after setbacks."""
        return self.caution * min(1.0, (self.progress + 1e-3) / WARM_UP) * (1 + cos(pi * self.progress)) / 2

    def _step_back(self, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor]) -> None:
        """Where the last check found the model far behind its best state, go on from there with smaller steps."""
        if not self.student.smooth or self.curve.points[-1][2] <= SETBACK * self.curve.best:
            return
        self.student.assign(best)
        self.average = dict(best)
        optimizer.state.clear()
        self.caution *= SMALLER

    def _next_check(self) -> float:
        return min((int(self.progress * CHECKS + 1e-9) + 1) / CHECKS, 1.0)

    @property
    def _blockwise(self) -> bool:
        """Whether every block still learns by itself."""
        share = self.step.blockwise
        return self.progress < (share if share is not None else BLOCKWISE * self.student.smooth)

    def _learn(self, optimizer: torch.optim.Optimizer) -> float:
        """One step of the optimiser, over as many batches as make up its samples; returns the loss."""
        optimizer.zero_grad()
        values = self.student()
        leaves = {name: value.detach().requires_grad_() for name, value in values.items()}
        parts = -(-(self.step.batch_size or self.batches.size) // self.batches.size)
        total = 0.0
        for part in range(parts):
            batch = self.batches.training(self.number * parts + part)
            run = self.network.run(batch.feeds, leaves, self.features, blockwise=self._blockwise)
            loss = self.loss.training(run, self.teacher.run(batch.feeds), batch.labels)
            torch.autograd.backward(loss / parts)
            total += float(loss.detach()) / parts
        reached = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        torch.autograd.backward([values[name] for name in reached], list(reached.values()))
        nn.utils.clip_grad_norm_(self.student.parameters(), LARGEST_NORM)
        optimizer.step()
        self._follow()
        return total

    def _follow(self) -> None:
        """Move the average of a smooth student's values towards those that it has now."""
        if self.student.smooth:
            values = self.student.values()
            share = max(1 - AVERAGED, 1 / (1 + self.number))
            self.average = {name: torch.lerp(self.average.get(name, value), value, share) for name, value in values.items()}

    def _judge(self, values: Mapping[str, Tensor], selection: Sequence[tuple[TrainingBatch, Run]]) -> Tensor:
        """The loss of the outputs on each of the held-back samples, (n,), at the sharpness that suits the student."""
        with torch.no_grad():
            runs = [(self.network.run(batch.feeds, values)[0], taught[0]) for batch, taught in selection]
            losses = [
                torch.cat([self.loss.by_sample(*run, sharpness=factor) for run in runs])[: self.batches.selecting.count]
                for factor in self.loss.sharpness
            ]  # the last batch is filled up
        return min(losses, key=lambda each: float(each.mean()))

    def _check(
        self,
        training: float,
        selection: Sequence[tuple[TrainingBatch, Run]],
        start: Mapping[str, Tensor],
        best: Mapping[str, Tensor],
    ) -> Mapping[str, Tensor]:
        """The best of the states now, where they are complete, and the best so far."""
        found = []
        for values in self._states(start):
            losses, known = self._judge(values, selection), self.curve.best
            found.append(float(losses.mean()))
            self.curve.held.append(losses if self.student.complete else torch.full_like(losses, float("inf")))
            if self.curve.best < known:
                self.curve.kept, best = self.number, dict(values)
        self.curve.points.append((self.number, training, min(found)))
        return best

    def _states(self, start: Mapping[str, Tensor]) -> list[Mapping[str, Tensor]]:
        """What is judged: of a smooth student the average, and what lies half-way to it (WiSE-FT, Wortsman 2022)."""
        if not self.student.smooth:
            return [self.student.values()]
        return [self.average, {name: torch.lerp(start[name], value, HALF_WAY) for name, value in self.average.items()}]

    def _save(self, optimizer: torch.optim.Optimizer, best: Mapping[str, Tensor]) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = {
            "format": FORMAT,
            "student": self.student.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": dict(best),
            "number": self.number,
            "seconds": self.seconds,
            "caution": self.caution,
            "average": self.average,
            "curve": (self.curve.points, self.curve.kept, self.curve.held),
        }
        partial = self.folder / "training.part"
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / "training.pt")

    def _restore(self, optimizer: torch.optim.Optimizer, start: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        path = self.folder / "training.pt" if self.folder else None
        if path is None or not path.is_file():
            return start
        try:
            state = torch.load(path, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            log.warning("a damaged state of the training is left aside", reason=str(error))
            return start
        if state.get("format") != FORMAT:
            log.warning("a state of the training that another version has left is left aside")
            return start
        self.student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        self.number, self.seconds, self.caution = state["number"], state["seconds"], state["caution"]
        self.average = state["average"]
        self.curve = LearningCurve([*map(tuple, state["curve"][0])], *state["curve"][1:])
        best: dict[str, Tensor] = state["best"]
        return best
