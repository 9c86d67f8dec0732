"""The zip of an adapter: PEFT loads what is in it, and it names no path of this machine."""

import ast
import json
import sys
import zipfile

import pytest
from safetensors.numpy import load

from core.cli import main
from core.errors import StudioError
from core.export.adapter import write_adapter
from core.export.card.facts import base_note
from core.export.card.loading import INSTALL, example_code
from core.models import embedded
from core.runs import example
from core.runs.names import file_stem
from core.runs.store import RunStore
from core.runs.yaml_io import from_yaml
from core.settings import Settings


@pytest.fixture
def run(runs):
    example.install(Settings(home=runs.settings.home, example=True))
    return RunStore(runs.settings).run(example.EXAMPLE_RUN)


@pytest.mark.parametrize("adapter", ["final", "step 64"])
def test_write_adapter_zips_weights_settings_and_readme(settings, run, adapter):
    written = write_adapter(settings, run, adapter)
    with zipfile.ZipFile(written.path) as archive:
        files = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "settings.yaml", "README.md",
        "loss.png",
    }  # fmt: skip
    assert files["adapter_model.safetensors"] == (run.adapters()[adapter] / "adapter_model.safetensors").read_bytes()
    assert load(files["adapter_model.safetensors"])
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == embedded.HUB_ID == written.base
    assert from_yaml(files["settings.yaml"].decode()) == run.config()
    assert f'"{embedded.HUB_ID}"' in files["README.md"].decode()
    code = example_code(run, adapter)
    assert code in files["README.md"].decode()
    compile(code, "README.md", "exec")
    assert f'"{written.path.stem}"' in code
    assert "chat_template.jinja" in code
    assert "held-out loss" in files["README.md"].decode()
    assert "4-bit GGUF file" in files["README.md"].decode(), "the Hub's weights are not those it was trained on"
    assert str(settings.home) not in "".join(part.decode("latin-1") for part in files.values())


@pytest.mark.parametrize("task", ["generate", "classify"])
def test_example_code_imports_only_packages_that_the_readme_installs(run, task):
    run.save_config(run.config().model_copy(update={"task": task}))
    nodes = list(ast.walk(ast.parse(example_code(run, "final"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    assert packages
    assert packages <= set(INSTALL.removeprefix("pip install ").split())


@pytest.mark.parametrize(("quantization", "words"), [("none", "loaded unquantized."), ("fp4", "loaded in fp4.")])
def test_base_note_names_the_precision(run, quantization, words):
    run.save_config(run.config().model_copy(update={"quantization": quantization}))
    assert words in base_note(run)


def test_zips_of_two_adapters_of_a_run_are_two_files(settings, run):
    assert write_adapter(settings, run).path != write_adapter(settings, run, "step 64").path


def test_unknown_adapter_is_refused_with_those_there_are(settings, run):
    with pytest.raises(StudioError, match=r"no adapter 'step 65'. It has: final, step 192, step 128, step 64"):
        write_adapter(settings, run, "step 65")


def test_command_prints_the_file_and_the_base(settings, run, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    assert main(["export", run.id, "--adapter", "step 128"]) == 0
    printed = capsys.readouterr().out
    assert f"{file_stem(run.title, run.id)}-step-128-adapter.zip" in printed
    assert embedded.HUB_ID in printed
