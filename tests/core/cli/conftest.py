"""The command line in this process, on a home that it finds by itself."""

import pytest

from core.cli import main
from core.data import table
from tests.helpers.datasets import copy_bundled


@pytest.fixture
def home(settings, monkeypatch):
    """A home with the bundled data set opened."""
    monkeypatch.setenv("STUDIO_HOME", str(settings.home))
    monkeypatch.setenv("COLUMNS", "100000")  # no help text is wrapped
    copy_bundled(settings)
    return settings


@pytest.fixture
def keeper(home):
    return table.opened_datasets(home)[0]


@pytest.fixture
def say(home, capsys):
    """Run a command: its exit code, what it printed, what it complained of."""

    def run(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as left:  # --help, and what argparse refuses by itself
            code = left.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def ok(say):
    def run(*words):
        code, out, err = say(*words)
        assert (code, err) == (0, "")
        return out

    return run


@pytest.fixture
def things(home):
    """Lists data sets, subsets, runs, exports and models."""

    def found():
        return sorted(path for path in home.home.glob("*/*") if not path.name.endswith(".lock"))

    return found
