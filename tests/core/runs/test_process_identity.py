import os
import subprocess
import sys

import psutil
import pytest

from core.runs import process_identity


@pytest.fixture
def child():
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield made
    made.kill()
    made.wait()


def test_a_process_keeps_its_name_and_no_other_has_it(child):
    assert process_identity.identity(os.getpid()) == process_identity.identity(os.getpid())
    assert process_identity.identity(child.pid) not in (None, process_identity.identity(os.getpid()))


def test_a_dead_one_and_a_zombie_have_none(child):
    child.kill()
    psutil.wait_procs([psutil.Process(child.pid)], timeout=1)
    assert process_identity.identity(child.pid) is None, "a zombie does not live"
    child.wait()
    assert process_identity.identity(child.pid) is None


def test_the_wall_clock_has_no_part_in_it(monkeypatch):
    """psutil's start of a process moves when the clock is set; the name must not."""
    before = process_identity.identity(os.getpid())
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 0.0)
    assert process_identity.identity(os.getpid()) == before


def test_a_name_with_brackets_and_spaces_is_no_trouble(tmp_path):
    program = tmp_path / "odd) name ("
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as odd:
        assert process_identity.identity(odd.pid).startswith(f"{odd.pid}@")
        odd.kill()
