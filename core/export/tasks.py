"""The export as the page and the command line start it; what it needs is imported when it runs."""

from core.export.config import ExportConfig
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
