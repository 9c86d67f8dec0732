"""The check before publishing as a job, its result on disk, and what a card states about it.

runs/<id>/publish/<adapter>.json
"""

import time
from pathlib import Path

from pydantic import BaseModel, Field

from core.data import subset as subsets
from core.errors import StudioError
from core.export.availability import publish_problem
from core.export.publish.extraction import Extraction, measure
from core.export.publish.findings import Findings, search_rows
from core.runs.adapters import adapter_folder
from core.runs.store import Run, RunStore
from core.settings import Settings, slug
from core.system.counting import counted
from core.system.fast_imports import disable_compiler
from core.system.files import read_json, sha256_of, write_json
from core.system.jobs import Progress, ignore_progress

DEFAULT_ROWS, MAX_ROWS = 32, 1000
_SEARCHED = 0.3
_WEIGHTS = "adapter_model.safetensors"


class PublishCheck(BaseModel):
    """Result of a check.

    Attributes:
        created: When it was made, in seconds since the epoch.
        adapter_sha256: Hash of the adapter's weights.
        rows_sha256: Hash of the conversations that were searched.
        findings: Personal data and secrets in the rows.
        extraction: Verbatim extraction; None if it was not measured.
        notes: Sentences about what was not done.
    """

    created: float = Field(default_factory=time.time)
    adapter_sha256: str
    rows_sha256: str
    findings: Findings
    extraction: Extraction | None = None
    notes: list[str] = []

    @property
    def is_clean(self) -> bool:
        """Return whether nothing was found that the user should look at."""
        return not self.findings.counts and not (self.extraction and self.extraction.more_than_base)

    @property
    def verdict(self) -> str:
        """Return a sentence for the user."""
        if self.is_clean:
            return "Nothing was found that speaks against publishing. Names and addresses were not searched for."
        parts = [counted(count, kind, _plural(kind)) for kind, count in self.findings.counts.items()]
        if self.extraction and (rows := self.extraction.more_than_base):
            parts.append(f"{counted(len(rows), 'training row')} that the model repeats and its base does not")
        return f"Look before you publish: {', '.join(parts)}."

    def describe(self) -> list[str]:
        """Return the result as sentences with numbers only, for a card."""
        found = self.findings
        counts = ", ".join(counted(count, kind, _plural(kind)) for kind, count in found.counts.items())
        rows = (
            f"in {counted(found.affected, 'row')} of {found.rows:,}" if counts else f"in {counted(found.rows, 'row')}"
        )
        searched = f"E-mail addresses, phone numbers, keys and tokens in the training data: {counts or 'none'} {rows}."
        return [searched, *(self.extraction.describe() if self.extraction else []), *self.notes]


def _plural(kind: str) -> str:
    return {"e-mail address": "e-mail addresses", "key or token": "keys or tokens"}.get(kind, f"{kind}s")


def check_publish(
    settings: Settings, run_id: str, adapter: str = "final", rows: int = DEFAULT_ROWS,
    progress: Progress = ignore_progress,
) -> PublishCheck:  # fmt: skip
    """Search the rows of a run, measure verbatim extraction, and store the result; a job.

    Args:
        settings: The studio's settings.
        run_id: The run.
        adapter: "final", or "step N".
        rows: Training rows, and held-out rows, that the model continues; 0 measures nothing.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: The run, its subset or its model is gone, or the memory is in use.
    """
    disable_compiler()
    store = RunStore(settings)
    run = store.run(run_id)
    folder, name = adapter_folder(run, adapter), run.config().subset
    if problem := publish_problem(settings, run):
        raise StudioError(problem)
    progress(0, "Searching the rows")
    searched = _Searched(settings, name, progress)
    result = PublishCheck(
        adapter_sha256=sha256_of(folder / _WEIGHTS), rows_sha256=subsets.hash_rows(settings, name),
        findings=search_rows(searched),
    )  # fmt: skip
    if run.config().classifies:
        result.notes.append("Verbatim extraction was not measured, because a classifier writes no text.")
    elif not rows:
        result.notes.append("Verbatim extraction was not measured.")
    else:
        share = 1 - _SEARCHED
        result.extraction = measure(
            store, run, adapter, rows, lambda done, stage: progress(_SEARCHED + share * done, stage)
        )  # fmt: skip
    write_json(_path(run, adapter), result.model_dump())
    progress(1, "Done")
    return result


class _Searched:
    """Records of a subset that report the progress of the search as they are read."""

    def __init__(self, settings: Settings, name: str, progress: Progress):
        self._records, self._progress = subsets.stream(settings, name), progress
        found = subsets.find(settings, name)
        self._total = found.rows + found.held_out

    def __iter__(self):
        for number, record in enumerate(self._records):
            if number % 100 == 0:
                self._progress(_SEARCHED * number / self._total, f"Searching row {number:,} of {self._total:,}")
            yield record


def read_check(run: Run, adapter: str) -> PublishCheck | None:
    """Return the stored result of an adapter; None if there is none of its present weights."""
    try:
        found = PublishCheck.model_validate(read_json(_path(run, adapter)))
    except (OSError, ValueError):
        # Without a result, or with one of another version, the adapter was not checked.
        return None
    weights = adapter_folder(run, adapter) / _WEIGHTS
    return found if weights.is_file() and sha256_of(weights) == found.adapter_sha256 else None


def _path(run: Run, adapter: str) -> Path:
    return run.folder / "publish" / f"{slug(adapter)}.json"
