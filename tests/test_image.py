"""The Dockerfile's steps without Docker: its files, its user, and its command with only /data and /tmp writable."""

import contextlib
import os
import re
import shlex
import shutil
import signal
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
from tests.helpers.ports import reserve_port

DOCKERFILE = (PROJECT / "Dockerfile").read_text()
# `WHOLE_DEMO=1 python -m pytest tests/test_image.py` trains the whole quick demo, which takes minutes.
RUN_WHOLE_DEMO = bool(os.environ.get("WHOLE_DEMO"))
ONE_STEP = {"subset": "few", "max_steps": 1, "eval_steps": 0, "max_length": 64, "sample_prompts": ""}
UNPRIVILEGED = "setpriv --reuid=1000 --regid=1000 --clear-groups"
# Mounts / again, so that it is read-only for this process alone, and drops all rights.
READ_ONLY_ROOT = f"mount --bind /tmp /tmp && mount -o remount,bind,ro / && exec {UNPRIVILEGED}"


def copied_paths() -> list[str]:
    """Return the paths of the project that the Dockerfile copies."""
    lines = re.findall(r"^COPY --chown=studio (.+)$", DOCKERFILE, re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def test_dockerfile_meets_the_rules_of_a_space():
    assert re.search(r"useradd .*--uid 1000", DOCKERFILE)
    assert DOCKERFILE.index("USER studio") < DOCKERFILE.index("pip install")
    assert "EXPOSE 7860" in DOCKERFILE
    assert "/healthz" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert set(copied_paths()) >= {"requirements.txt", "core", "components", "studio", "app.py"}


def test_home_of_a_space_is_on_its_disk_if_it_has_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setattr(settings_module, "SPACE_DISK", tmp_path)
    assert Settings().home == tmp_path / "studio"
    monkeypatch.setattr(settings_module, "SPACE_DISK", tmp_path / "none")
    assert Settings().home == Path.home() / ".qlora-studio"


def unprivileged_python() -> str:
    """Return a Python that an unprivileged user can run; the one of this process may be readable by root only."""
    for path in (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"):
        command = [*UNPRIVILEGED.split(), "sh", "-c", f"{shlex.quote(path)} -c ''"]
        if Path(path).exists() and subprocess.run(command, capture_output=True).returncode == 0:
            return path
    pytest.skip("an unprivileged user can run no Python 3.11 here")


@pytest.fixture
def image(embedded_model):
    """Copy the image's files to a new folder: the app belongs to root, and `data` to the user that runs it."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        pytest.skip("becoming an unprivileged user takes root, setpriv and unshare")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    folder = Path(tempfile.mkdtemp(prefix="studio-image-", dir="/tmp"))
    folder.chmod(0o755)
    for name in copied_paths():
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
def test_image_command_serves_and_trains_with_only_the_disk_writable(image):
    port = reserve_port()
    command = re.search(r'^CMD \["python", (.+)\]$', DOCKERFILE, re.MULTILINE)[1].replace('", "', " ").strip('"')
    command = command.replace("7860", str(port))
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "STUDIO_HOME": str(image / "data"),
                   "STUDIO_EMBEDDED": str(image / "model"), "STUDIO_PASSWORD": "open sesame",
                   "PYTHONDONTWRITEBYTECODE": "1", "OMP_WAIT_POLICY": os.environ["OMP_WAIT_POLICY"],
                   "PYTHONPATH": os.pathsep.join(path for path in sys.path if "site-packages" in path)}  # fmt: skip
    began = time.monotonic()
    with (image / "data" / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"{READ_ONLY_ROOT} {unprivileged_python()} {command}"],
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
        client.predict(client.predict(api_name="/list_datasets")[0]["id"], api_name="/choose_dataset")
        client.predict(name="few", rows=10, method="shortest", api_name="/create_subset")
        config = (QUICK_DEMO.config() if RUN_WHOLE_DEMO else QUICK_DEMO.config(**ONE_STEP)).model_dump()
        known = {p["parameter_name"] for p in client.view_api(return_format="dict", print_info=False)[
            "named_endpoints"]["/start_run"]["parameters"]}  # fmt: skip
        values = {k: v for k, v in config.items() if k in known} | {"accept_warnings": True}
        run = client.predict(**values, api_name="/start_run")["value"]
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
