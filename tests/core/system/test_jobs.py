"""Jobs in processes of their own: results, failures, cancelling and a killed server."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from core.errors import StudioError
from core.system.jobs import Job, Jobs
from core.system.process_limits import Limits

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def fork_jobs() -> None:
    """Replace the fixture that forks: these processes are spawned."""


def adding(one: int, other: int, progress) -> int:
    progress(0.5, "Half way")
    return one + other


def failing(progress) -> None:
    raise StudioError("There is no more tea. Brew some.")


def breaking(progress) -> None:
    raise KeyError("secret detail")


def dying(progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def aborting(progress) -> None:
    os.kill(os.getpid(), signal.SIGABRT)


def reporting(progress) -> int:
    """Report more messages than a pipe holds, without a pause."""
    for i in range(200):
        progress(i / 200, "x" * 5000)
        time.sleep(0.001)
    return 7


def staging(progress) -> None:
    """Begin a second stage at once after many reports of the first."""
    for i in range(50):
        progress(i / 100, f"Reading row {i:,} of 50")
    progress(0.5, "Comparing the rows")


def waiting(path: str, progress) -> None:
    """Start a child process, write both process ids to a file, and wait forever."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(path, "w") as stream:
        stream.write(f"{os.getpid()} {child.pid}")
    progress(0.3, "Waiting")
    child.wait()


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close()


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_pids(path) -> list[int]:
    """Return the process ids that `waiting` writes."""
    wait_until(lambda: path.exists() and len(path.read_text().split()) == 2)
    return [int(word) for word in path.read_text().split()]


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_job_result_is_return_value(jobs):
    job = jobs.start("sum", "Adding", adding, 3, other=4)
    assert job.ended.wait(60)
    assert (job.status, job.result, job.share, job.error) == ("done", 7, 1.0, "")
    assert jobs.find(job.id) is job
    assert jobs.running("sum") is None


def test_running_jobs_are_listed_while_another_thread_starts_one(jobs):
    class Racing(Job):
        """Job during whose inspection another job is added, as by another thread."""

        @property
        def ended(self):
            jobs._jobs.setdefault(2, Job(2, "open/other", "Opening"))
            return threading.Event()

        @ended.setter
        def ended(self, event):
            pass

    jobs._jobs[1] = Racing(1, "open/first", "Opening")
    assert [job.id for job in jobs.all_running("open")] == [1]
    assert jobs.running("open").id == 2
    jobs._jobs.clear()


def test_unwatched_job_is_not_blocked_by_its_messages(jobs):
    job = jobs.start("report", "Reporting", reporting)
    assert job.ended.wait(60)
    assert job.result == 7


def test_job_reports_each_stage_however_soon_it_begins(jobs):
    job = jobs.start("stages", "Staging", staging)
    assert job.ended.wait(60)
    assert job.stage == "Comparing the rows"


@pytest.mark.parametrize(
    ("work", "reported"),
    [
        (failing, "There is no more tea. Brew some."),
        (breaking, "KeyError in the studio itself. The server's log has the details."),
        (
            dying,
            "Failing failed: the process ended without reporting a result (exit code -9): it was killed, or memory ran "
            "out.",
        ),
        (
            aborting,
            "Failing failed: the process ended without reporting a result (exit code -6): it was killed, or memory ran "
            "out.",
        ),
    ],
)
def test_job_failure_is_reported_to_user(jobs, work, reported):
    job = jobs.start("bad", "Failing", work)
    assert job.ended.wait(60)
    assert (job.status, job.error) == ("failed", reported)


def test_job_that_a_limit_ends_names_the_file_and_the_limit(jobs):
    job = jobs.start("bad", "Opening x.csv", aborting, limits=Limits(2**33, 60, 2**30))
    assert job.ended.wait(60)
    assert job.error.startswith("Opening x.csv failed: the file is damaged, or asks for more memory than")


def test_cancel_kills_job_and_its_children(jobs, tmp_path):
    job = jobs.start("wait/a", "Waiting", waiting, str(tmp_path / "pids"))
    both = read_pids(tmp_path / "pids")
    wait_until(lambda: job.stage == "Waiting")
    assert jobs.running("wait") is job
    assert jobs.start("wait/a", "Again", adding, 1, 1) is job, "one of a kind at a time"
    jobs.cancel(job)
    assert job.ended.wait(30)
    assert job.status == "cancelled"
    wait_until(lambda: all(map(has_ended, both)))
    # Cancelling a job that has ended changes nothing.
    jobs.cancel(job)
    assert job.status == "cancelled"


SERVER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from core.system.jobs import Job, Jobs
from tests.core.system import test_jobs
if __name__ == "__main__":
    Jobs().start("wait", "Waiting", test_jobs.waiting, sys.argv[1])
    time.sleep(600)
"""


def test_jobs_end_when_server_is_killed(tmp_path):
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    server = subprocess.Popen([sys.executable, str(script), str(tmp_path / "pids"), str(PROJECT)])
    both = read_pids(tmp_path / "pids")
    server.send_signal(signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    wait_until(lambda: all(map(has_ended, both)))
