"""Export and import as the page and the command line start them; what they need is imported when they run."""

from pathlib import Path

from core.export.config import ExportConfig
from core.export.import_settings import ImportSettings
from core.export.result import Exported
from core.runs.store import RunStore
from core.settings import Settings
from core.system.jobs import Progress, ignore_progress


def export(
    settings: Settings, run_id: str, name: str, config: ExportConfig, progress: Progress = ignore_progress
) -> Exported:
    """Write an adapter of a run in the chosen form; see `core.export.job.export`."""
    from core.export import job

    run = RunStore(settings).run(run_id)
    with run.notice_deletion(run.title, "exported"):
        return job.export(settings, run_id, name, config, progress)


def import_adapter(
    settings: Settings, options: ImportSettings, archive: Path | None = None, progress: Progress = ignore_progress
) -> str:
    """Import an adapter; see `core.export.import_adapter.import_adapter`."""
    from core.export import import_adapter as job

    return job.import_adapter(settings, options, archive, progress)
