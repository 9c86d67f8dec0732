"""Write an adapter as a zip that PEFT loads as it is: its weights, its settings, the run's settings and its card.

The zip names the base model by its id on the Hub, or by its name if it is a local folder, because a path of this
machine would mean nothing on another one.
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from core.export.card.facts import base_name, zip_folder
from core.export.card.writing import Subject, card_files, card_names
from core.export.config import ExportConfig
from core.runs import classifier, receipt, yaml_io
from core.runs.adapters import adapter_folder
from core.runs.store import Run
from core.settings import Settings
from core.system.files import replacing

# Files of PEFT, and the template that the rows were rendered with. The tokenizer is the base model's own.
_FILES = ("adapter_model.safetensors", "chat_template.jinja")


@dataclass(frozen=True)
class AdapterZip:
    """A zip that was written.

    Attributes:
        path: The file.
        size: Its bytes.
        base: The base model that it needs, as PEFT is to find it.
    """

    path: Path
    size: int
    base: str


def list_files(settings: Settings, run: Run, adapter: str) -> list[tuple[str, int | None]]:
    """Return the names of the files that an adapter's zip holds, each with its bytes before compression.

    The card is made when the zip is written, because its metrics take seconds: it is listed without a size.
    """
    files = _contents(run, adapter).items()
    listed = [(name, len(item) if isinstance(item, bytes) else item.stat().st_size) for name, item in files]
    return [*listed, *((name, None) for name in card_names(settings, run))]


def write_adapter(settings: Settings, run: Run, adapter: str = "final") -> AdapterZip:
    """Write one of a run's adapters as a zip into the exports folder.

    Args:
        settings: The studio's settings.
        run: The run.
        adapter: "final", or "step N" for a checkpoint, as `Run.adapters` names them.

    Raises:
        StudioError: The run has no such adapter.
    """
    name = zip_folder(run, adapter)
    target = settings.exports_dir / f"{name}.zip"
    files = _contents(run, adapter)
    files |= card_files(Subject(settings, run, adapter, ExportConfig(), name))
    with replacing(target) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, item in files.items():
            if isinstance(item, bytes):
                archive.writestr(f"{name}/{file}", item)
            else:
                archive.write(item, f"{name}/{file}")
    return AdapterZip(target, target.stat().st_size, base_name(run))


def _contents(run: Run, adapter: str) -> dict[str, bytes | Path]:
    """Return the files of the zip besides the card, by name: each as bytes, or as the file that is copied."""
    folder, base = adapter_folder(run, adapter), base_name(run)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    found: dict[str, bytes | Path] = {"adapter_config.json": json.dumps(config, indent=2).encode()}
    # A classifier reads texts without the template, and needs its labels.
    files = (_FILES[0], classifier.FILE, receipt.FILE) if run.config().classifies else (*_FILES, receipt.FILE)
    found |= {file: folder / file for file in files if (folder / file).is_file()}
    found["settings.yaml"] = yaml_io.to_yaml(run.config()).encode()
    return found
