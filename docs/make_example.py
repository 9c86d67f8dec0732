"""Write core/runs/example/, the run that comes with the studio: train it, or take it from a finished run's folder.

    python docs/make_example.py              (trains on the bundled conversations)
    python docs/make_example.py RUN_FOLDER   (takes a run that was trained with these settings elsewhere)

Two projections per block at rank 4 keep four adapters (three checkpoints and the final one) below 4 MB together.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.models import embedded  # noqa: E402
from core.runs import example  # noqa: E402
from core.runs.store import Label, Run  # noqa: E402
from core.settings import Settings  # noqa: E402
from core.system.files import write_json  # noqa: E402

SETTINGS = {
    "lora-rank": "4", "lora-alpha": "16", "lora-targets": "q_proj,v_proj", "learning-rate": "5e-3", "max-steps": "192",
    "eval-steps": "16", "eval-rows": "34", "save-steps": "64", "sample-tokens": "64",
    "sample-prompts": "How do I keep houseplants alive in winter?\nWhat should I cook tonight?",
}  # fmt: skip
_OF_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "whole.json")
_NOTE = (
    "Trained by this studio on the bundled conversations in the voice of a lighthouse keeper, so that base and tuned "
    "model answer side by side from the first start. Delete it when you no longer need it."
)


def train(home: Path) -> Path:
    """Train the run in a STUDIO_HOME, and return its folder."""
    options = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "core", "train", "--preset", "Quick demo", *options]
    settings = Settings(home=home).prepare()
    prepared = embedded.prepare(Settings().prepare())
    environment = {"STUDIO_HOME": str(home), "STUDIO_EMBEDDED": str(prepared)}
    subprocess.run(command, cwd=PROJECT, env=os.environ | environment, check=True)
    return next(settings.runs_dir.glob("[!.]*"))


def copy_run(source: Path, target: Path) -> None:
    """Copy what the example needs of a finished run's folder, without paths of the machine that trained it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("config.json", "subset.json", "events.jsonl"):
        shutil.copyfile(source / name, target / name)
    for folder in (source / "adapter", *(source / "checkpoints").glob("checkpoint-*")):
        _copy_adapter(folder, target / folder.relative_to(source))
    # The process that trained it belongs to another machine.
    state = Run(source).saved_state().model_copy(update={"pid": None, "process": None})
    write_json(target / "state.json", state.model_dump())
    label = Label(name="Example: lighthouse keeper", tags=["example"], note=_NOTE)
    write_json(target / "label.json", label.model_dump())


def _copy_adapter(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for name in _OF_ADAPTER:
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    config = json.loads((target / "adapter_config.json").read_text())
    write_json(target / "adapter_config.json", config | {"base_model_name_or_path": embedded.NAME})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        copy_run(Path(sys.argv[1]) if len(sys.argv) > 1 else train(Path(scratch)), example.FOLDER)
