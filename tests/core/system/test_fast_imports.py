import gc
import importlib.metadata
import os
import subprocess
import sys

import pytest

from core.system.fast_imports import uncollected
from tests.helpers.app_server import PROJECT


@pytest.fixture
def thawed():
    """The process of the tests goes on as it was."""
    yield
    gc.unfreeze()


def test_uncollected_pauses_gc_and_freezes_objects(thawed):
    with uncollected():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(made)


def test_uncollected_enables_gc_after_failed_import(thawed):
    with pytest.raises(ModuleNotFoundError), uncollected():
        import no_such_library  # noqa: F401
    assert gc.isenabled()


def test_uncollected_caches_package_list_only_inside(thawed):
    look = importlib.metadata.packages_distributions
    with uncollected():
        found = importlib.metadata.packages_distributions()
        assert importlib.metadata.packages_distributions() is found
    assert importlib.metadata.packages_distributions is look
    assert look()["torch"] == ["torch"]


@pytest.mark.parametrize(("reported", "compiles"), [(None, False), ("0", True)])
def test_uncompiled_keeps_existing_environment(reported, compiles):
    """bitsandbytes, which asks for compiled functions, brings the compiler only then."""
    code = (
        "from core.system.fast_imports import uncompiled; uncompiled(); import sys, bitsandbytes; "
        "print('torch._inductor.compile_fx' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TORCHDYNAMO_DISABLE"}
    if reported is not None:
        environment["TORCHDYNAMO_DISABLE"] = reported
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(compiles), done.stderr
