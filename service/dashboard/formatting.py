"""Jobs in words: states, standing, times."""

from datetime import UTC, datetime

from markupsafe import Markup

from workers.jobs.job import State
from workers.jobs.records import Job
from workers.report.formatting import SPACE, drop, duration, percent, significant

FILTERS = (
    "when",
    "tone",
    "state_name",
    "short",
    "smaller",
    "answers_kept",
    "took",
    "share_done",
    "eta",
    "labelled",
    "coded",
    "faster",
    "title_of",
)
LABELS = {  # what samples are labelled with, and the task that it belongs to
    "class": ("classification", "a class each"),
    "labels": ("multilabel", "several classes each"),
    "values": ("regression", "numbers"),
    "boxes": ("detection", "boxes"),
    "map": ("segmentation", "a class for every pixel"),
    "image": ("image", "the wanted picture"),
    "text": ("text lines", "a line of text"),
}
TONES = {
    State.QUEUED: "waiting",
    State.RUNNING: "running",
    State.CANCELING: "waiting",
    State.SUCCEEDED: "good",
    State.FAILED: "bad",
    State.CANCELED: "idle",
}


def when(seconds: float) -> Markup:
    """A time, which the script turns into the reader's own clock and into how long ago it was."""
    moment = datetime.fromtimestamp(seconds, UTC)
    text = f"{moment.day} {moment:%b %Y, %H:%M} UTC"
    return Markup('<time datetime="{}">{}</time>').format(moment.isoformat(timespec="seconds"), text)


def tone(state: State) -> str:
    """The class that colours a state."""
    return TONES[state]


def state_name(state: State) -> str:
    """RUNNING -> Running."""
    return state.value.capitalize()


def short(identifier: str) -> str:
    """The first letters of an identifier, enough to tell it from others."""
    return identifier[:8]


def smaller(job: Job) -> str | None:
    """How many times smaller the file is; None where it is not known."""
    figures = job.summary or {}
    zipped = figures.get("original_zip_bytes"), figures.get("zip_bytes")
    before, after = zipped if all(zipped) else (figures.get("original_bytes"), figures.get("compressed_bytes"))
    return f"{significant(before / after, 2)}×" if before and after else None


def answers_kept(job: Job) -> tuple[str, str] | None:
    """What became of the answers, and of what that is told: the drop of accuracy, else the share of unchanged decisions."""
    figures = job.summary or {}
    before, after = figures.get("accuracy_original"), figures.get("accuracy_compressed")
    if before is not None and after is not None:
        return f"drop {drop(before - after)}", f"accuracy {percent(after, 2)}"
    if figures.get("agreement") is not None:
        source = "real data" if figures.get("fidelity_source") == "dataset" else "synthetic data"
        return percent(figures["agreement"]), f"unchanged on {source}"
    return None


def faster(job: Job) -> tuple[str, str] | None:
    """How many times as fast, and whether that is more than noise; None where it was not measured."""
    figures = job.summary or {}
    ratio, low, high = (figures.get(name) for name in ("ratio", "ratio_low", "ratio_high"))
    if ratio is None:
        return None
    noise = low is None or high is None or low <= 1 <= high
    return f"{significant(ratio)}×", "no significant difference" if noise else ""


def title_of(job: Job) -> str:
    """What it is called, without the model, which the page names."""
    return (job.name or job.id[:8]).rpartition(" \N{MIDDLE DOT} ")[2]


def took(job: Job) -> str | None:
    """From the start of an ended job to its end."""
    return duration(job.ended_at - job.started_at) if job.ended_at and job.started_at else None


def share_done(job: Job) -> float | None:
    """Of the stage that runs."""
    return job.progress.done / job.progress.total if job.progress and job.progress.total and not job.ended else None


def eta(job: Job) -> str | None:
    """How long the job will still take."""
    if job.eta_s is None:
        return None
    return f"{duration(job.eta_s) if job.eta_s >= 60 else f'{max(1, round(job.eta_s))}{SPACE}s'}{SPACE}left"


def labelled(name: str) -> str:
    """calibration_count -> Calibration count."""
    return name.replace("_", " ").capitalize()


def coded(text: str) -> Markup:
    """A docstring's `words` as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))
