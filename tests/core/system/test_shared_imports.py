"""Threads that import transformers for the first time at once."""

import subprocess
import sys

from tests.helpers.app_server import PROJECT

# The second thread begins while the first one runs the module that transformers replaces.
CODE = """
import sys, threading, time
from core.system.shared_imports import share_first_import
share_first_import()
def first():
    import transformers
def second():
    while "transformers" not in sys.modules:
        time.sleep(0.001)
    from transformers import AutoConfig
    import transformers
    print(AutoConfig is transformers.AutoConfig, hasattr(transformers, "NoSuchName"))
threads = [threading.Thread(target=first), threading.Thread(target=second)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_import_transformers_at_once():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr
