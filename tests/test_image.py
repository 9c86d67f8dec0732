"""The Dockerfile's steps without Docker: its files, its user, its command, where only /data and /tmp can be written."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from core import settings as settings_module
from core.runs.presets import QUICK_DEMO
from core.settings import Settings
from tests.helpers.app_server import PROJECT

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
# WHOLE_DEMO=1 python -m pytest tests/test_image.py: all of the quick demo, as the first click does it; minutes
WHOLE = bool(os.environ.get("WHOLE_DEMO"))
FIRST_STEP = {"subset": "few", "max_steps": 1, "eval_steps": 0, "max_length": 64, "sample_prompts": ""}
# / is mounted anew, so that it can be made read-only for this process alone
ALONE = "mount --bind /tmp /tmp && mount -o remount,bind,ro / && exec setpriv --reuid=1000 --regid=1000 --clear-groups "


def copied() -> list[str]:
    """What the image takes from the project."""
    lines = re.findall(r"^COPY --chown=studio (.+)$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def test_the_image_is_a_space_s():
    assert re.search(r"useradd .*--uid 1000", DOCKERFILE)
    assert DOCKERFILE.index("USER studio") < DOCKERFILE.index("pip install")
    assert "EXPOSE 7860" in DOCKERFILE
    assert "/healthz" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert set(copied()) >= {"requirements.txt", "core", "components", "studio", "app.py"}


def test_a_space_keeps_everything_on_its_disk_where_it_has_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setattr(settings_module, "SPACE_DISK", tmp_path)
    assert Settings().home == tmp_path / "studio"
    monkeypatch.setattr(settings_module, "SPACE_DISK", tmp_path / "none")
    assert Settings().home == Path.home() / ".qlora-studio"


def interpreter() -> str:
    """A Python that somebody without rights can run; the test's own may lie where only root looks."""
    for path in (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"):
        asked = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c", f"{shlex.quote(path)} -c ''"]
        if Path(path).exists() and subprocess.run(asked, capture_output=True).returncode == 0:
            return path
    pytest.skip("no Python 3.11 here can be run by somebody without rights")


@pytest.fixture
def image(embedded_model):
    """The image's files in a fresh folder, owned by another user than the one that runs; and a disk."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("it takes root, setpriv and unshare to become somebody without rights")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount anything")
    folder = Path(tempfile.mkdtemp(prefix="studio-image-", dir="/tmp"))
    folder.chmod(0o755)
    for name in copied():
        source, target = PROJECT / name, folder / "app" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copytree(embedded_model, folder / "model")
    for path in (folder / "model").iterdir():
        path.chmod(0o444)
    (folder / "data").mkdir()
    shutil.chown(folder / "data", 1000, 1000)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
def test_its_command_serves_and_trains_where_only_the_disk_can_be_written(image):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = re.search(r'^CMD \["python", (.+)\]$', DOCKERFILE, re.MULTILINE)[1].replace('", "', " ").strip('"')
    command = command.replace("7860", str(port))
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "STUDIO_HOME": str(image / "data"),
                   "STUDIO_EMBEDDED": str(image / "model"), "STUDIO_PASSWORD": "open sesame",
                   "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"],
                   "PYTHONPATH": os.pathsep.join(path for path in sys.path if "site-packages" in path)}  # fmt: skip
    began = time.monotonic()
    with (image / "data" / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{ALONE} {interpreter()} {command}"],
            cwd=image / "app", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/healthz").text == "ok":
                    break
            assert process.poll() is None, (image / "data" / "log").read_text()
            assert time.monotonic() < began + 120
            time.sleep(0.1)
        client = Client(url, auth=("studio", "open sesame"), verbose=False, analytics_enabled=False,
                        download_files=image / "data" / "client")  # fmt: skip
        client.predict(client.predict(api_name="/list_datasets")[0]["id"], api_name="/choose")
        client.predict(name="few", rows=10, method="shortest", api_name="/cut")
        knobs = (QUICK_DEMO.config() if WHOLE else QUICK_DEMO.config(**FIRST_STEP)).model_dump()
        known = {p["parameter_name"] for p in client.view_api(return_format="dict", print_info=False)[
            "named_endpoints"]["/start"]["parameters"]}  # fmt: skip
        run = client.predict(**{k: v for k, v in knobs.items() if k in known}, api_name="/start")["value"]
        state = {"status": "queued"}
        while state["status"] not in ("finished", "failed", "interrupted", "stopped"):
            time.sleep(0.2)
            state = next(r for r in client.predict(api_name="/list_runs") if r["id"] == run)
        client.close()
        assert state["status"] == "finished", state
        assert not list((image / "app").rglob("__pycache__"))
    except AppError as error:
        pytest.fail(f"{error}\n{(image / 'data' / 'log').read_text()[-3000:]}")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=15) == 0
