"""Candidates in the checkpoints of a job: what an attempt has made and looked at, the next one takes up."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workers.digest import file_sha256
from workers.evaluation.tasks import Task
from workers.ir.writing.exporter import Exported, StoredLayer
from workers.ir.writing.writer import SavedSize
from workers.recipe import Recipe
from workers.run.candidates.candidate import Candidate
from workers.run.candidates.comparison_record import pack_comparison, unpack_comparison

RECORD, FILES = "record.json", ("model.xml", "model.bin")
COMPARISONS = ("estimate", "comparison", "on_fractals")  # fields of a candidate, and names of files


@dataclass(frozen=True, slots=True)
class CandidateShelf:
    """Where one candidate is kept."""

    folder: Path

    def keep(self, candidate: Candidate) -> None:
        """Keep a candidate, or what was found out since; each file appears whole or not at all, the record as the last one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.folder / RECORD).exists():
            for name in FILES:
                shutil.copyfile(candidate.exported.xml.with_name(name), self.folder / name)
        for name in COMPARISONS:
            comparison = getattr(candidate, name)
            if comparison is not None and not (self.folder / name).exists():
                self._write(name, pack_comparison(comparison))
        self._write(RECORD, json.dumps(_record(candidate)).encode())

    def take(self, recipe: Recipe, setting: float, folder: Path, task: Task) -> Candidate | None:
        """The candidate that is kept, its model in `folder`/1; None where none can be read."""
        try:
            record = json.loads((self.folder / RECORD).read_bytes())
            found = {name: self._comparison(name, task, recipe.seed) for name in record["comparisons"]}
            if record["files"] != [file_sha256(self.folder / name) for name in FILES]:
                return None
            exported = self._model(record, folder / "1")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        candidate = Candidate(recipe, setting, None, record["sparsity"], exported, record["seconds"], **found)
        candidate.warnings, candidate.doubts = (tuple(record[name]) for name in ("warnings", "doubts"))
        return candidate

    def _comparison(self, name: str, task: Task, seed: int) -> Any:
        return unpack_comparison((self.folder / name).read_bytes(), task, seed)

    def _model(self, record: dict[str, Any], folder: Path) -> Exported:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(self.folder / name, folder / name)
        layers = tuple(StoredLayer(**layer) for layer in record["layers"])
        return Exported(folder / FILES[0], folder / FILES[1], SavedSize(**record["size"]), layers)

    def _write(self, name: str, content: bytes) -> None:
        partial = self.folder / f"{name}.part"
        partial.write_bytes(content)
        partial.replace(self.folder / name)


def _record(candidate: Candidate) -> dict[str, Any]:
    """All but its comparisons, in JSON values."""
    return {
        "sparsity": candidate.sparsity,
        "seconds": candidate.seconds,
        "size": asdict(candidate.exported.size),
        "layers": [asdict(layer) for layer in candidate.exported.layers],
        "files": [file_sha256(candidate.exported.xml.with_name(name)) for name in FILES],
        "comparisons": [name for name in COMPARISONS if getattr(candidate, name) is not None],
        "warnings": candidate.warnings,
        "doubts": candidate.doubts,
    }
