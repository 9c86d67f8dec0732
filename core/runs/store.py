"""Runs on disk. A run folder is the only interface between training and everything else.

runs/<id>/config.json    the QLoRAConfig, with schema_version; a resume that changes settings rewrites it
runs/<id>/subset.json    which rows: source, recipe, hash
runs/<id>/state.json     status, the worker's process, cause (core/system/work_folder.py)
runs/<id>/label.json     name, tags, note, whether it is archived
runs/<id>/parent.json    the run that it was duplicated from, with that run's settings
runs/<id>/events.jsonl   one flushed line per event (core/runs/events.py)
runs/<id>/worker.log     the worker's own output
runs/<id>/control/       requests to the worker: stop
runs/<id>/checkpoints/   resumable (core/runs/checkpoints.py)
runs/<id>/adapter/       the finished adapter, with its receipt (core/runs/receipt.py)
runs/<id>/classifier.json   the labels of a classifier, also in each adapter's folder (core/runs/classifier.py)
runs/<id>/tensorboard/   TensorBoard's own files, if metrics are reported to it
runs/<id>/report/        report.md and its plots (core/runs/report.py)
runs/<id>/token_index/   index of the training texts, if answers were traced (core/evaluate/memorization/run_index.py)
runs/<id>/publish/       results of the check before publishing, if it was used (core/export/publish/check.py)
runs/<id>/harness/       results of lm-evaluation-harness, if it was used (core/evaluate/harness/results.py)
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from core.access import roles, visibility
from core.data import subset as subsets
from core.data.subset import Subset
from core.errors import StudioError, sentences
from core.models import catalogue
from core.runs import checkpoints, events
from core.runs.config import READABLE_VERSIONS, SCHEMA_VERSION, QLoRAConfig
from core.runs.names import derive_name, make_distinct
from core.settings import slug
from core.system.files import modified_ns, read_json, write_json
from core.system.work_folder import WorkFolder, WorkState, WorkStore

Status = Literal[
    "queued", "preparing", "running", "stopping", "stopped", "finished", "failed", "interrupted", "unreadable"
]
ACTIVE: tuple[Status, ...] = ("preparing", "running", "stopping")
# Statuses of runs that have not ended.
NOT_ENDED: tuple[Status, ...] = ("queued", *ACTIVE)
RESUMABLE: tuple[Status, ...] = ("stopped", "failed", "interrupted", "finished")


class RunState(WorkState):
    """state.json of a run, as it was last written; `Run.state` returns what is true now.

    Attributes:
        queue_position: Position in the queue; the run with the lowest is started next.
        resumes: Whether the worker continues from the last checkpoint.
        previous: Old values of settings that a resume changed, until the worker reports them in its "resumed" event.
        warnings: Warnings of the preflight checks that were accepted when the run was started.
    """

    status: Status
    # Earlier versions stored it as "place".
    queue_position: float = Field(0.0, validation_alias=AliasChoices("queue_position", "place"))
    resumes: bool = False
    previous: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class Label(BaseModel):
    """Name, tags and note that a user gives a run, stored in label.json."""

    name: str = Field("", max_length=100, title="Name", description="Shown in the lists; empty: made of its settings.")
    tags: list[str] = Field(default_factory=list, title="Tags", description="Words to find it by.")
    note: str = Field("", max_length=5000, title="Note", description="Purpose and result of the run.")
    archived: bool = Field(False, title="Archived", description="Hidden from the lists, but kept on disk.")


class Parent(BaseModel):
    """The run that another one was duplicated from, as it was then, stored in parent.json."""

    run: str
    title: str
    config: QLoRAConfig


class Run(WorkFolder[RunState]):
    """One run folder."""

    kind = "run"
    state_type = RunState
    active = ACTIVE
    requested: ClassVar[dict[str, str]] = {"stop": "stopping"}

    @property
    def adapter(self) -> Path:
        """Return the folder of the finished adapter."""
        return self.folder / "adapter"

    @property
    def checkpoints_dir(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def token_index_dir(self) -> Path:
        """Return the folder of the index of the training texts, which exists once answers were traced."""
        return self.folder / "token_index"

    @property
    def events_file(self) -> Path:
        """Return the file of the events."""
        return self.folder / events.FILE

    @property
    def label_file(self) -> Path:
        """Return the file of the label, which exists once there is one."""
        return self.folder / "label.json"

    @property
    def parent_file(self) -> Path:
        """Return the file about the run that this one was duplicated from; most runs have none."""
        return self.folder / "parent.json"

    @property
    def stop_request(self) -> Path:
        """Return the file whose existence asks the worker to stop."""
        return self.request("stop")

    def config(self) -> QLoRAConfig:
        """Return the run's settings.

        Raises:
            StudioError: config.json is damaged, or another version of the studio wrote it.
        """
        try:
            saved = dict(read_json(self.folder / "config.json"))
        except (OSError, ValueError, TypeError) as error:
            raise self.explain_unreadable("config.json", error) from error
        version = saved.pop("schema_version", None)
        if version not in READABLE_VERSIONS:
            raise StudioError(
                f"The run {self.id} has config version {version}, expected {SCHEMA_VERSION}: it was made by another "
                "version of the studio. Open it with that version."
            )
        try:
            return QLoRAConfig.model_validate(saved)
        except ValidationError as error:
            raise StudioError(f"Correct the run {self.id}'s config.json, or delete it:\n{sentences(error)}") from error

    def subset(self) -> Subset | None:
        """Return the subset that the run trains on, as it was; None if subset.json is damaged or of another version."""
        try:
            return Subset.model_validate(read_json(self.folder / "subset.json"))
        except (OSError, ValueError):
            return None

    def problem(self) -> str | None:
        """Return why the run's files cannot be used, or None."""
        state = self.saved_state()
        if state.status == "unreadable":
            return state.cause
        try:
            self.config()
        except StudioError as error:
            return str(error)
        return None

    def label(self) -> Label:
        """Return the run's label; an empty one if label.json cannot be read."""
        try:
            return Label.model_validate(read_json(self.label_file))
        except (OSError, ValueError):
            return Label()

    def parent(self) -> Parent | None:
        """Return the run that this one was duplicated from; None if it was not, or if the file cannot be read."""
        try:
            return Parent.model_validate(read_json(self.parent_file))
        except (OSError, ValueError):
            return None

    def save_label(self, label: Label) -> None:
        """Replace label.json."""
        write_json(self.label_file, label.model_dump())

    @property
    def title(self) -> str:
        """Return the name that the user gave the run, or one that is made of its settings."""
        # Lists ask for the title of every run, so it is made again only if a file has changed.
        made = _derive_name(self.folder, modified_ns(self.folder / "config.json"), modified_ns(self.parent_file))
        return self.label().name or made

    def save_config(self, config: QLoRAConfig) -> None:
        """Replace config.json."""
        write_json(self.folder / "config.json", {"schema_version": SCHEMA_VERSION, **config.model_dump()})

    def request_stop(self) -> None:
        """Ask the worker to write a checkpoint and end after the current step."""
        self.send_request("stop")

    def events(self) -> list[events.RunEvent]:
        """Return the run's events, without those that a resume made obsolete."""
        return events.read(self.events_file)

    def adapters(self) -> dict[str, Path]:
        """Return the folder of every complete adapter: "final", then "step N" per checkpoint, newest first."""
        found = {}
        if (self.adapter / "adapter_config.json").is_file():
            found["final"] = self.adapter
        for checkpoint in reversed(checkpoints.complete(self.checkpoints_dir)):
            folder = checkpoints.folder_of(self.checkpoints_dir, checkpoint.step)
            # A PiSSA adapter belongs to a base whose weights it changed. Beside it, "plain" holds the same adapter
            # converted for the original base.
            plain = folder / "plain"
            found[f"step {checkpoint.step}"] = plain if plain.is_dir() else folder
        return found


@lru_cache(maxsize=4096)
def _derive_name(folder: Path, config_time: int, parent_time: int) -> str:
    """Return a run's name by its settings, or its id if they cannot be read; the times are those of the files read."""
    run = Run(folder)
    try:
        parent = run.parent()
        return derive_name(run.config(), parent.config if parent else None)
    except StudioError:
        return run.id


class RunStore(WorkStore[Run]):
    """All runs of a STUDIO_HOME."""

    folder_type = Run

    @property
    def root(self) -> Path:
        """Return the folder that holds the runs."""
        return self.settings.runs_dir

    def is_visible(self, folder: Run) -> bool:
        """Return whether the current caller may see a run: the owner all, a visitor the published ones."""
        if roles.caller().is_owner:
            return True
        return visibility.can_see_run(self.settings, folder.id, folder.saved_state().status)

    def run(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            StudioError: There is no such run, or the caller may not see it; both cases have the same message.
        """
        if found := self._find(run_id):
            return found
        raise StudioError(f"There is no run {run_id!r}. List them with: python -m core runs list")

    def runs(self) -> list[Run]:
        """Return all runs that the caller may see, newest first."""
        return self.folders()

    def _fingerprint(self, state_file: Path) -> str:
        label = state_file.with_name("label.json")
        label_time = modified_ns(label)
        complete = checkpoints.count(state_file.with_name("checkpoints"))
        stopping = (state_file.with_name("control") / "stop").exists()
        return f"{super()._fingerprint(state_file)} {label_time} {complete} {stopping}"

    def titles(self) -> dict[str, str]:
        """Return the title of every run that the caller may see, by id, no two the same: lists show these."""
        runs = self.runs()
        created = [run.saved_state().created for run in runs]
        ids = [run.id for run in runs]
        return dict(zip(ids, make_distinct([run.title for run in runs], created, ids), strict=True))

    def create(self, config: QLoRAConfig, warnings: Sequence[str] = (), parent: Parent | None = None) -> Run:
        """Write a new run folder and put it at the end of the queue.

        Args:
            config: The run's settings.
            warnings: Warnings of the preflight checks that were accepted.
            parent: The run that it was duplicated from.

        Raises:
            StudioError: The subset or the model does not exist.
        """
        subset = subsets.find(self.settings, config.subset)
        model = catalogue.find(self.settings, config.model, config.revision)
        run = self._new_folder(f"{slug(model.name.rpartition('/')[2])}-{slug(subset.name)}")
        run.save_config(config)
        write_json(run.folder / "subset.json", subset.model_dump())
        if parent:
            write_json(run.parent_file, parent.model_dump())
        last = max((other.saved_state().queue_position for other in self.runs()), default=0.0)
        # state.json comes last: from here on, the folder is a run.
        run.save_state(RunState(status="queued", created=time.time(), queue_position=last + 1, warnings=list(warnings)))
        return run

    def queue(self) -> list[Run]:
        """Return the queued runs, the next one first."""
        found = [(run.saved_state(), run) for run in self.runs()]
        queued = [(state.queue_position, state.created, run) for state, run in found if state.status == "queued"]
        return [run for *_, run in sorted(queued, key=lambda item: item[:2])]
