"""The identity of a process, which distinguishes it from a later one with the same pid."""

import os
import subprocess
import sys

import psutil
import pytest

from core.system import process_identity


@pytest.fixture
def child():
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield made
    made.kill()
    made.wait()


def test_identity_is_stable_and_unique(child):
    assert process_identity.identity(os.getpid()) == process_identity.identity(os.getpid())
    assert process_identity.identity(child.pid) not in (None, process_identity.identity(os.getpid()))


def test_identity_of_dead_or_zombie_process_is_none(child):
    child.kill()
    psutil.wait_procs([psutil.Process(child.pid)], timeout=1)
    assert process_identity.identity(child.pid) is None, "a zombie does not live"
    child.wait()
    assert process_identity.identity(child.pid) is None


def test_identity_does_not_depend_on_wall_clock(monkeypatch):
    """The start time that psutil gives changes when the clock is set; the identity must not."""
    before = process_identity.identity(os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert process_identity.identity(os.getpid()) == before


def test_identity_of_program_with_brackets_in_its_name_is_found(tmp_path):
    program = tmp_path / "odd) name ("
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as odd:
        assert process_identity.identity(odd.pid).startswith(f"{odd.pid}@")
        odd.kill()
