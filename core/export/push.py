"""Pushes to the Hub: a finished export, the settings and curves of a run, the results of an evaluation.

Each push lays its files out in a folder of its own, hands it to `core.hub.push`, and removes it at the end.
"""

import os
import shutil
from pathlib import Path

from core.access import roles
from core.access.free_disk import writable_bytes
from core.access.quotas import Quotas
from core.errors import StudioError
from core.evaluate.store import EvaluationStore
from core.export import hub_evaluation, hub_readme
from core.export.result import card_place
from core.export.scratch import scratch_folder
from core.hub.push import Pushed, push_folder
from core.hub.target import PushTarget
from core.models.license import license_of_readme
from core.runs import points, report, yaml_io
from core.runs.exported import SUFFIXES
from core.runs.store import RunStore
from core.settings import Settings, inside, slug
from core.system.jobs import Progress, ignore_progress
from core.system.unpack import unpack

# Share of the progress at which the files are laid out.
_READY = 0.2
# Folder of a run's files in the repository of its model; the files of the model stay as they are.
RUN_FOLDER = "run"


def push_export(
    settings: Settings, name: str, target: PushTarget, progress: Progress = ignore_progress, source: str | None = None
) -> Pushed:
    """Push a finished export as a model: the files of a ZIP, or a GGUF file with its card.

    Args:
        settings: The studio's settings.
        name: Name of the file in the folder of exports.
        target: Where to push.
        progress: Called with the share that is done, 0 to 1, and the current step.
        source: Where the token of the target is from, if it was not typed.

    Raises:
        StudioError: There is no such export, the license of its base demands another name, or the Hub refuses the push.
    """
    path = inside(settings.exports_dir, name, "export")
    if path.suffix not in SUFFIXES or not path.is_file():
        raise StudioError(f"There is no finished export {name!r}. Export it first; its file is then in exports/.")
    with scratch_folder(settings.exports_dir / f"push-{name}") as folder:
        progress(0, f"Preparing {name}")
        if path.suffix == ".zip":
            unpack(path, folder, writable_bytes(folder, Quotas().free_gib))
        else:
            _lay_out_gguf(path, folder)
        readme = folder / hub_readme.README
        if readme.is_file() and (license := license_of_readme(readme)):
            license.check_name(target.repo.partition("/")[2])
        hub_readme.complete(folder, path.stem, target.repo)
        return push_folder(folder, "model", target, f"Add {path.stem}", _after_preparation(progress), source)


def _lay_out_gguf(path: Path, folder: Path) -> None:
    """Put a GGUF file into a folder, with the files of its card that lie beside it."""
    try:
        os.link(path, folder / path.name)
    except OSError:
        # Some file systems have no hard links.
        shutil.copyfile(path, folder / path.name)
    card = card_place(path)
    if card.is_dir():
        shutil.copytree(card, folder, dirs_exist_ok=True)


def push_run(
    settings: Settings, run_id: str, target: PushTarget, progress: Progress = ignore_progress, source: str | None = None
) -> Pushed:
    """Push the settings, the report and the curves of a run, into a folder of a model's repository.

    Args:
        settings: The studio's settings.
        run_id: The run.
        target: Where to push.
        progress: Called with the share that is done, 0 to 1, and the current step.
        source: Where the token of the target is from, if it was not typed.

    Raises:
        StudioError: There is no such run, or the Hub refuses the push.
    """
    run = RunStore(settings).run(run_id)
    with scratch_folder(settings.exports_dir / f"push-{slug(run.id)}-run") as folder:
        progress(0, "Writing the report")
        own = folder / RUN_FOLDER
        shutil.copytree(report.write(run, run.state()).parent, own)
        # The Hub shows a README of the folder.
        (own / report.FILE).rename(own / "README.md")
        (own / "settings.yaml").write_text(yaml_io.to_yaml(run.config()), encoding="utf-8")
        points.write_points(run, own / "curves.csv")
        if (run.folder / "subset.json").is_file():
            shutil.copyfile(run.folder / "subset.json", own / "subset.json")
        return push_folder(
            folder, "model", target, f"Add settings and curves of {run.id}", _after_preparation(progress), source
        )


def push_evaluation(
    store: EvaluationStore, evaluation_id: str, target: PushTarget, progress: Progress = ignore_progress,
    source: str | None = None,
) -> Pushed:  # fmt: skip
    """Push the answers, metrics and verdict of an evaluation as a dataset.

    Args:
        store: The evaluations.
        evaluation_id: The evaluation.
        target: Where to push.
        progress: Called with the share that is done, 0 to 1, and the current step.
        source: Where the token of the target is from, if it was not typed.

    Raises:
        StudioError: There is no such evaluation, no prompt is finished, or the Hub refuses the push.
    """
    evaluation = store.find(evaluation_id)
    with scratch_folder(roles.exports(store.settings) / f"push-{evaluation.id}") as folder:
        hub_evaluation.write_files(store, evaluation, folder, lambda share, stage: progress(_READY * share, stage))
        return push_folder(
            folder, "dataset", target, f"Add the evaluation {evaluation.id}", _after_preparation(progress), source
        )


def _after_preparation(progress: Progress) -> Progress:
    """Return a callback for the push itself, whose progress begins when the files are laid out."""
    return lambda share, stage: progress(_READY + (1 - _READY) * share, stage)
