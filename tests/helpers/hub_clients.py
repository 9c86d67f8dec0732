"""Calls of the real Hub clients, each made in a new process, and a loopback Hub for them to ask.

HF_ENDPOINT is read when huggingface_hub is imported, so the functions whose names start with client_ run in child
processes (`World.client`), once for all tests that look at their reports.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.helpers.loopback_hub import LoopbackHub

ROWS = [{"text": f"row {number}", "label": number % 3} for number in range(20)]
KINDS = ("model", "dataset")
OLDER = [{"text": "an older row", "label": 0}]


def jsonl(rows: list[dict]) -> bytes:
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def tiny_model(folder: Path) -> Path:
    """Write a tokenizer, a config and weights as a model repository has them, and return the folder."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", "hello", "hub"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    LlamaConfig(vocab_size=len(words), hidden_size=8, num_attention_heads=2, num_hidden_layers=1).save_pretrained(
        folder
    )
    save_file({"embedding": np.arange(40, dtype=np.float32).reshape(5, 8)}, folder / "model.safetensors")
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("a name with a space")
    return folder


def parquet(folder: Path) -> bytes:
    """Return `ROWS` as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


class World:
    """Loopback Hub with repositories of every kind: public, private, gated."""

    def __init__(self, hub: LoopbackHub, folder: Path):
        self.hub, self.folder = hub, folder
        self.model = tiny_model(folder / "model")
        rows = {"train.jsonl": jsonl(ROWS)}
        self.older = hub.add_repo("dataset", "someone/guanaco", {"train.jsonl": jsonl(OLDER)})
        self.newer = hub.add_repo("dataset", "someone/guanaco", rows | {"README.md": b"# Guanaco\n"})
        hub.add_repo("dataset", "someone/table", {"data/train-00000-of-00001.parquet": parquet(folder)})
        for name in ("tiny/llama", "someone/guanaco"):
            hub.add_repo("model", name, self.model)
        for kind, files in (("dataset", rows), ("model", self.model)):
            hub.add_repo(kind, "someone/private", files, private=True)
            hub.add_repo(kind, "meta/gated", files, gated=True)
        hub.add_token("hf_owner", user="someone")
        hub.add_token("hf_granted", user="tester", may_read={"meta/gated"})
        hub.add_token("hf_stranger", user="stranger")
        hub.add_token("hf_reader", user="tester", role="read")

    def client(self, function, *arguments: object) -> dict:
        """Return the report of a client_ function, called in a new process."""
        call = f"clients.{function.__name__}(*{arguments!r})"
        code = f"import json; from tests.helpers import hub_clients as clients; print(json.dumps({call}))"
        # Each has its own cache: what another client has downloaded is served even to a bad token.
        here = {
            "cwd": Path(__file__).resolve().parents[2],
            "env": self.hub.env(HF_HOME=str(self.folder / function.__name__)),
        }
        done = subprocess.run([sys.executable, "-c", code], **here, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


# Repository, revision and token of each case.
CASES = {
    "bad token": ("someone/guanaco", None, "hf_bad"),
    "private, no token": ("someone/private", None, False),
    "private, stranger": ("someone/private", None, "hf_stranger"),
    "private, owner": ("someone/private", None, "hf_owner"),
    "gated, no token": ("meta/gated", None, False),
    "gated, stranger": ("meta/gated", None, "hf_stranger"),
    "gated, granted": ("meta/gated", None, "hf_granted"),
    "absent": ("someone/absent", None, False),
    "absent revision": ("someone/guanaco", "0" * 40, False),
}


def contents(folder: Path) -> dict[str, str]:
    """Return the files of a folder as hexadecimal text, by path."""
    return {str(path.relative_to(folder)): path.read_bytes().hex() for path in folder.rglob("*") if path.is_file()}


def client_reading(older: str) -> dict:
    """Load datasets, a tokenizer, a config and a snapshot."""
    from datasets import load_dataset
    from huggingface_hub import snapshot_download
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("tiny/llama")
    return {
        "pinned": load_dataset("someone/guanaco", revision=older, split="train").to_list(),
        "newest": load_dataset("someone/guanaco", split="train").to_list(),
        "parquet": load_dataset("someone/table", split="train").to_list(),
        "streamed": list(load_dataset("someone/table", split="train", streaming=True)),
        "hidden_size": AutoConfig.from_pretrained("tiny/llama").hidden_size,
        "ids": tokenizer("hello hub").input_ids,
        "snapshot": contents(Path(snapshot_download("tiny/llama"))),
    }


def outcome(action, *arguments, **options) -> dict:
    """Return the exception that a call raises, if any, and the HTTP status that it or its cause holds."""
    try:
        action(*arguments, **options)
    except Exception as error:
        answers = [getattr(link, "response", None) for link in (error, error.__cause__)]
        status = next((answer.status_code for answer in answers if answer is not None), None)
        return {"error": type(error).__name__, "status": status, "message": str(error)}
    return {"error": None}


def client_refused() -> dict:
    """Ask for each of `CASES` in every way."""
    from datasets import load_dataset
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from transformers import AutoConfig

    report = {}
    for case, (repo, revision, token) in CASES.items():
        what = {"repo_id": repo, "repo_type": "dataset", "revision": revision, "token": token}
        report[case] = {
            "file": outcome(hf_hub_download, filename="train.jsonl", **what),
            "snapshot": outcome(snapshot_download, **what),
            "info": outcome(HfApi().repo_info, **what),
            "auth_check": outcome(HfApi().auth_check, repo, repo_type="dataset", token=token),
            "load_dataset": outcome(load_dataset, repo, revision=revision, token=token),
            "from_pretrained": outcome(AutoConfig.from_pretrained, repo, revision=revision, token=token),
        }
    report["absent file"] = outcome(hf_hub_download, "someone/guanaco", "absent.jsonl", repo_type="dataset")
    return report


def client_uploading(folder: str) -> dict:
    """Upload a folder twice as each kind of repository, and try what is not allowed."""
    from huggingface_hub import HfApi, snapshot_download

    api, reader = HfApi(token="hf_owner"), HfApi(token="hf_reader")
    report = {"user": api.whoami()["name"], "url": api.create_repo("someone/copy"), "commits": []}
    for repo_type in KINDS:
        api.create_repo("someone/copy", repo_type=repo_type, exist_ok=True, private=True)
        # The second upload finds nothing to do.
        for _ in range(2):
            commit = api.upload_folder(repo_id="someone/copy", repo_type=repo_type, folder_path=folder)
            report["commits"].append(commit.oid)
        there = snapshot_download("someone/copy", repo_type=repo_type, token="hf_owner")
        report[repo_type] = contents(Path(there))
    report["exists"] = outcome(api.create_repo, "someone/copy")
    report["read role"] = outcome(reader.create_repo, "tester/copy")
    report["other's name"] = outcome(api.create_repo, "tester/copy")
    report["no token"] = outcome(HfApi(token=False).create_repo, "someone/copy")
    what = {"repo_id": "someone/guanaco", "folder_path": folder}
    report["other's repo"] = outcome(reader.upload_folder, **what)
    report["bad token"] = outcome(HfApi(token="hf_bad").whoami)
    return report
