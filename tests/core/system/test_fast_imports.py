"""Faster imports: garbage collection is paused, and PyTorch's compiler is left out."""

import gc
import importlib.metadata
import os
import subprocess
import sys

import pytest

from core.system.fast_imports import pause_gc
from tests.helpers.app_server import PROJECT


@pytest.fixture
def thawed():
    """Unfreeze the objects of this process after the test."""
    yield
    gc.unfreeze()


def test_pause_gc_stops_collection_and_freezes_objects(thawed):
    with pause_gc():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_pause_gc_enables_gc_after_failed_import(thawed):
    with pytest.raises(ModuleNotFoundError, match="no_such_library"), pause_gc():
        import no_such_library  # noqa: F401
    assert gc.isenabled()


def test_pause_gc_caches_package_list_only_inside(thawed):
    uncached = importlib.metadata.packages_distributions
    with pause_gc():
        found = importlib.metadata.packages_distributions()
        assert importlib.metadata.packages_distributions() is found
    assert importlib.metadata.packages_distributions is uncached
    assert uncached()["torch"] == ["torch"]


@pytest.mark.parametrize(("disabled", "compiles"), [(None, False), ("0", True)])
def test_disable_compiler_keeps_existing_environment(disabled, compiles):
    """Importing bitsandbytes, which declares compiled functions, imports the compiler only if it is enabled."""
    code = (
        "from core.system.fast_imports import disable_compiler; disable_compiler(); import sys, bitsandbytes; "
        "print('torch._inductor.compile_fx' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TORCHDYNAMO_DISABLE"}
    if disabled is not None:
        environment["TORCHDYNAMO_DISABLE"] = disabled
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(compiles), done.stderr
