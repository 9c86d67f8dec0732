"""Fixtures that run the command line in this process, with STUDIO_HOME set to a temporary folder."""

import pytest

from core.cli import main
from core.data import table
from tests.helpers.datasets import copy_bundled


@pytest.fixture
def home(settings, monkeypatch):
    """Return the settings of a home in which the bundled dataset is open."""
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    # So that no help text is wrapped.
    monkeypatch.setenv("COLUMNS", "100000")
    copy_bundled(settings)
    return settings


@pytest.fixture
def keeper(home):
    return table.opened_datasets(home)[0]


@pytest.fixture
def run_command(home, capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        # argparse raises it for --help and unknown options.
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ok(run_command):
    """Return a function that runs a command, checks that it succeeds, and returns its output."""

    def run(*words):
        code, out, err = run_command(*words)
        assert (code, err) == (0, "")
        return out

    return run


@pytest.fixture
def list_files(home):
    """Return a function that lists datasets, subsets, runs, exports and models."""

    def found():
        return sorted(path for path in home.home.glob("*/*") if not path.name.endswith(".lock"))

    return found
