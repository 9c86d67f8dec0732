"""Pickles and remote code: nothing in a checkpoint or a model runs, and no setting enables it."""

import ast
import inspect
import json
import shutil
from types import SimpleNamespace

import pytest
import transformers.trainer

from core.errors import StudioError
from core.models.loading import Precision
from core.runs.config import QLoRAConfig
from tests.helpers.app_server import PROJECT, PageClient
from tests.helpers.space_server import AUTHOR, signed_in_headers


def file_making_pickle(path) -> bytes:
    """Return a handwritten pickle that creates a file when it is loaded."""
    return f"cbuiltins\nopen\n(S'{path}'\nS'w'\ntR.".encode()


def torch_loads(source: str) -> list[ast.Call]:
    return [
        node for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]  # fmt: skip


def test_trainer_loads_weights_only():
    """In the pinned version; another version has to pass this test first."""
    found = torch_loads(inspect.getsource(transformers.trainer))
    assert found
    for call in found:
        assert {k.arg: ast.unparse(k.value) for k in call.keywords}.get("weights_only") == "True", ast.unparse(call)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_pickle_in_a_checkpoint_does_not_run(tmp_path, name):
    """Loaded by the trainer's own two functions, as when a run is resumed."""
    import torch
    from transformers import Trainer

    for file in ("optimizer.pt", "scheduler.pt"):
        torch.save({}, tmp_path / file)
    (tmp_path / name).write_bytes(file_making_pickle(tmp_path / "pwned"))
    target = SimpleNamespace(load_state_dict=lambda state: None)
    trainer = SimpleNamespace(
        args=SimpleNamespace(world_size=1, device="cpu"), is_deepspeed_enabled=False, is_fsdp_xla_v1_enabled=False,
        is_fsdp_enabled=False, optimizer=target, lr_scheduler=target,
    )  # fmt: skip
    load = Trainer._load_rng_state if name.startswith("rng") else Trainer._load_optimizer_and_scheduler
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        load(trainer, str(tmp_path))
    assert not (tmp_path / "pwned").exists()


def test_no_field_enables_remote_code(on_space):
    names = set(QLoRAConfig.model_fields) | set(Precision.__annotations__)
    page = PageClient(on_space.url, signed_in_headers(AUTHOR))
    names |= {
        p["parameter_name"] for e in page.http.get("/info").json()["named_endpoints"].values() for p in e["parameters"]
    }
    page.http.close()
    assert not {name for name in names if "remote" in name or "trust" in name or "pickle" in name}
    text = "".join(
        path.read_text() for folder in ("core", "studio", "components") for path in (PROJECT / folder).rglob("*.py")
    )
    assert "trust_remote_code=True" not in text
    assert "use_safetensors=False" not in text


def test_model_with_code_is_refused_and_its_code_does_not_run(settings, tmp_path):
    """A folder whose config names classes of its own."""
    from core.models import catalogue, loading

    folder = settings.models_dir / "own"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({
        "model_type": "own", "auto_map": {"AutoConfig": "code.Own", "AutoModelForCausalLM": "code.Own",
                                          "AutoTokenizer": ["code.Own", None]},
    }))  # fmt: skip
    (folder / "code.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\n")
    model = catalogue.find(settings, "own")
    for load in (lambda: loading.load_tokenizer(model), lambda: loading.load_base(model, Precision("none"))):
        with pytest.raises(StudioError, match="'own'"):
            load()
    assert not (tmp_path / "pwned").exists()


def test_model_with_pickled_weights_is_refused(settings, tmp_path, embedded_model):
    from core.models import catalogue, loading

    folder = settings.models_dir / "pickled"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(embedded_model / name, folder)
    (folder / "pytorch_model.bin").write_bytes(file_making_pickle(tmp_path / "pwned"))
    with pytest.raises(StudioError, match="safetensors"):
        loading.load_base(catalogue.find(settings, "pickled"), Precision("none"))
    assert not (tmp_path / "pwned").exists()
