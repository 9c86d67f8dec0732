"""Adapters made by plain PEFT, imported from ZIPs and a loopback Hub: they answer like `generate`, or are refused."""

import copy
import json
import shutil
import zipfile

import pytest
from peft import IA3Config, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from core.access import roles
from core.access.roles import Caller, Role
from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.requests import available_bases, resolve_lanes
from core.chat.sampling import Sampling
from core.chat.types import LaneRequest
from core.errors import StudioError
from core.evaluate.config import EvaluationConfig
from core.evaluate.process import resolve_evaluation_lanes
from core.evaluate.prompts import Prompt
from core.export.import_adapter import import_adapter
from core.export.import_settings import ImportSettings
from core.runs.imported import AdapterStore, find_tuned
from core.runs.store import RunStore
from tests.helpers.greedy import greedy_ids
from tests.helpers.hub_endpoint import TOKEN, use_hub
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.peft_adapters import save_adapter
from tests.helpers.tiny_model import tiny_llama

QV = ["q_proj", "v_proj"]
VARIANTS = {
    "rank_pattern": {"target_modules": QV, "rank_pattern": {r"layers\.1\..*": 2}},
    "alpha_pattern": {"target_modules": QV, "alpha_pattern": {r".*\.0\.self_attn\.[qv]_proj": 1}},
    "use_rslora": {"target_modules": "all-linear", "use_rslora": True},
    "use_dora": {"target_modules": QV, "use_dora": True},
    "modules_to_save": {"target_modules": QV, "modules_to_save": ["lm_head", "embed_tokens"]},
    "regex": {"target_modules": r".*layers\.1\.(self_attn|mlp)\.(q|down)_proj"},
}
PROMPTS, TOKENS = 50, 3
EXACT = {"quantization": "none", "compute_dtype": "float32"}

# The base that the adapters name.
BASE = "someone/tiny"


@pytest.fixture(scope="module")
def model(small_tokenizer):
    made = tiny_llama(vocab_size=len(small_tokenizer), tie_word_embeddings=False).eval().requires_grad_(False)
    for parameter in made.parameters():
        # Large weights make the greedy tokens of an untrained model differ more.
        parameter.data *= 3
    return made


@pytest.fixture
def home(settings, model, small_tokenizer):
    model.save_pretrained(settings.models_dir / "tiny")
    small_tokenizer.save_pretrained(settings.models_dir / "tiny")
    return settings


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory):
    return save_adapter(model, tmp_path_factory.mktemp("plain") / "adapter", {"target_modules": QV}, BASE)


def pack(folder, path, inner="adapter/"):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{inner}{file.name}")
    return path


def add(home, path, **options):
    return import_adapter(home, ImportSettings(source=path.name, **({"base": "tiny"} | EXACT | options)), path)


def test_each_variant_answers_in_chat_as_generate_does(home, model, small_tokenizer, tmp_path):
    engine = Engine(home)
    for variant, options in VARIANTS.items():
        folder = save_adapter(model, tmp_path / variant, options, BASE)
        name = add(home, pack(folder, tmp_path / f"{variant}.zip"))
        sampling = Sampling(temperature=0, max_new_tokens=TOKENS)
        lanes = [
            LaneRequest([{"role": "user", "content": f"{variant} {number * 7919}?"}], sampling, f"{name}/final")
            for number in range(PROMPTS)
        ]
        entry = QueueEntry(resolve_lanes(engine.store, lanes))
        *_, done = engine.ask(entry)
        base = AutoModelForCausalLM.from_pretrained(home.models_dir / "tiny")
        tuned = PeftModel.from_pretrained(base, folder).eval()
        eos = small_tokenizer.eos_token_id
        expected = [greedy_ids(tuned, prompt.ids, TOKENS, eos, []) for prompt in entry.prompts.values()]
        same = sum(answer.ids == ids for answer, ids in zip(done.generations, expected, strict=True))
        assert (variant, same) == (variant, PROMPTS)
        assert len(set(map(tuple, expected))) > 5
        if variant != "regex":
            assert variant in AdapterStore(home).find(name).origin().kind


def test_imported_adapter_is_a_lane_of_chat_and_evaluate_for_the_owner(home, plain, tmp_path):
    name = add(home, pack(plain, tmp_path / "My adapter.zip"))
    assert name == "My-adapter"
    assert add(home, tmp_path / "My adapter.zip") == "My-adapter-2"
    store = RunStore(home)
    lanes = EvaluationConfig(file="x.jsonl", prompts="file", lanes=["base", name], max_new_tokens=3)
    resolved = resolve_evaluation_lanes(store, lanes, Prompt([{"role": "user", "content": "?"}]))
    assert resolved.adapter_folders == {f"{name}/final": home.adapters_dir / name / "adapter"}
    assert resolved.base in available_bases(store)
    with roles.acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="There is no run"):
        find_tuned(store, name)
    AdapterStore(home).delete(name)
    assert [each.id for each in AdapterStore(home).folders()] == ["My-adapter-2"]
    with pytest.raises(StudioError, match="There is no imported adapter"):
        AdapterStore(home).delete(name)


def test_second_import_at_the_same_time_is_refused(home, plain, tmp_path):
    path = pack(plain, tmp_path / "x.zip")
    (home.adapters_dir / ".import-killed").mkdir()
    with AdapterStore(home).lock(), pytest.raises(StudioError, match="Another adapter is being imported"):
        add(home, path)
    add(home, path)
    assert not (home.adapters_dir / ".import-killed").exists()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with LoopbackHub(tmp_path / "hub") as made:
        made.add_token(TOKEN, "me")
        made.add_token("hf_granted", "you", may_read={"me/gated"})
        use_hub(made, monkeypatch)
        yield made


def from_hub(home, repo, token=None, **options):
    return import_adapter(home, ImportSettings(source=repo, token=token, **({"base": "tiny"} | options)))


def test_adapter_from_the_hub_keeps_its_commit_and_takes_no_code_and_no_pickle(home, hub, plain):
    files = {path.name: path.read_bytes() for path in plain.iterdir()}
    files |= {"modeling_evil.py": b"raise SystemExit", "training_args.bin": b"\x80\x04."}
    commit = hub.add_repo("model", "me/lora", files, private=True)
    name = from_hub(home, "me/lora", TOKEN)
    folder = home.adapters_dir / name
    origin = AdapterStore(home).find(name).origin()
    assert (origin.source, origin.revision, origin.base) == ("me/lora", commit, "someone/tiny")
    assert origin.notes == ["training_args.bin is a pickle and was not read."]
    assert sorted(path.name for path in (folder / "adapter").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    assert [path for path in home.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_gated_adapter_says_where_to_accept_its_terms(home, hub, plain):
    hub.add_repo("model", "me/gated", plain, gated=True)
    with pytest.raises(StudioError, match=rf"no token is set. Accept its terms at {hub.endpoint}/me/gated"):
        from_hub(home, "me/gated")
    hub.add_token("hf_other", "stranger")
    with pytest.raises(StudioError, match=rf"the token has no access. Accept its terms at {hub.endpoint}/me/gated"):
        from_hub(home, "me/gated", "hf_other")
    assert from_hub(home, "me/gated", "hf_granted") == "gated"


def test_base_model_is_found_by_its_name_here_or_asked_for(home, plain, model, tmp_path):
    local = save_adapter(model, tmp_path / "local", {"target_modules": QV}, "/home/them/models/tiny/")
    name = add(home, pack(local, tmp_path / "local.zip"), base="")
    assert AdapterStore(home).find(name).config().model == "tiny"
    elsewhere = save_adapter(model, tmp_path / "elsewhere", {"target_modules": QV}, "/home/them/other")
    with pytest.raises(StudioError, match=r"names the base model '/home/them/other'.*Set Base model"):
        add(home, pack(elsewhere, tmp_path / "elsewhere.zip"), base="")
    assert AdapterStore(home).find(add(home, pack(plain, tmp_path / "x.zip"), base="")).config().model == "someone/tiny"


def changed(plain, tmp_path, **fields):
    folder = tmp_path / "changed"
    shutil.copytree(plain, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | fields))
    return folder


REFUSED = {
    "pickle": (
        {"adapter_model.safetensors": None, "adapter_model.bin": b"\x80\x04."},
        {},
        r"pickle \(adapter_model.bin",
    ),
    "no adapter": ({"adapter_config.json": None}, {}, "no adapter"),
    "whole model": ({"adapter_config.json": None, "config.json": b"{}"}, {}, "it is a whole model"),
    "no weights": ({"adapter_model.safetensors": None}, {}, "has no adapter_model.safetensors"),
    "damaged": ({"adapter_model.safetensors": b"damaged"}, {}, "is damaged"),
    "code": ({}, {"megatron_config": {"a": 1}, "megatron_core": "os"}, "No foreign code is run"),
    "other kind": ({}, {"peft_type": "IA3"}, "is IA3"),
    "task": ({}, {"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
    "changed base": ({}, {"init_lora_weights": "pissa"}, "base weights that pissa changed"),
    "unknown setting": ({}, {"use_unknown": True}, "use_unknown"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_adapter_that_cannot_be_served_is_refused_by_name_and_leaves_nothing(home, plain, tmp_path, case):
    files, fields, words = REFUSED[case]
    folder = changed(plain, tmp_path, **fields)
    for name, content in files.items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
    with pytest.raises(StudioError, match=words):
        add(home, pack(folder, tmp_path / "x.zip"))
    assert [path.name for path in home.adapters_dir.iterdir() if path.name != ".lock"] == []


def entry(name, mode=0):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


HOSTILE = {
    "path out": (entry("../../escaped"), b"x", "leads out of its folder"),
    "absolute": (entry("/tmp/escaped"), b"x", "leads out of its folder"),
    "backslash": (entry("..\\escaped"), b"x", "leads out of its folder"),
    "link": (entry("link", 0o120777), b"/etc/passwd", "has the link"),
    "bomb": (entry("adapter_model.safetensors"), bytes(30_000_000), "compressed too much"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_zip_is_refused_and_nothing_is_written_outside(home, tmp_path, case):
    info, content, words = HOSTILE[case]
    path = tmp_path / "hostile.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapter_config.json", "{}")
        archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    with pytest.raises(StudioError, match=words):
        add(home, path)
    assert not list(tmp_path.rglob("escaped"))
    path.write_bytes(b"no zip")
    with pytest.raises(StudioError, match="cannot be unpacked"):
        add(home, path)


def test_adapter_of_another_method_saved_by_peft_is_refused(home, model, tmp_path):
    tuned = get_peft_model(copy.deepcopy(model), IA3Config(task_type="CAUSAL_LM"))
    tuned.save_pretrained(tmp_path / "ia3")
    with pytest.raises(StudioError, match="is IA3"):
        add(home, pack(tmp_path / "ia3", tmp_path / "ia3.zip"))
