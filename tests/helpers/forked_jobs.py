"""Jobs and workers of `core.data.parallel` as forks of one process that has their imports done.

A spawned process imports pandas, duckdb and perhaps transformers, which takes one to three CPU seconds, every time.
`FORKING` takes the place of the module `multiprocessing` in the two modules of the app that spawn: its processes are
those of the start method "forkserver", with the environment that the test has by then. Libraries of the Hub read their
settings when they are imported, which that process may have done; a test that changes them gets a spawned process.
"""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess
from types import SimpleNamespace
from typing import Any

# Imported before the first fork. pytest is the main module, which each process imports again.
_PRELOADED = ["pytest", "core.data.sources", "core.data.export", "core.data.lengths"]
# Modules that reading a tokenizer imports, torch among them: seven CPU seconds.
_TOKENIZERS = ["transformers.models.auto.tokenization_auto", "transformers.models.llama.configuration_llama"]
# Settings of the Hub's libraries before the first test.
_settings: dict[str, str] = {}


class _Process(ForkServerProcess):
    """A process with the environment of its parent, as a spawned one has."""

    def __init__(self, *positional: Any, target: Callable, args: tuple = (), **named: Any) -> None:
        super().__init__(*positional, target=_run_with, args=(dict(os.environ), target, args), **named)


class _Context(ForkServerContext):
    Process = _Process


def _run_with(environment: dict[str, str], target: Callable, arguments: tuple) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def _context(method: str) -> BaseContext:
    assert method == "spawn"
    return _Context() if _hub_settings() == _settings else multiprocessing.get_context("spawn")


def _hub_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("HF_", "TRANSFORMERS_"))}


def note_settings() -> None:
    """Note the settings of the Hub's libraries, with which processes are forked."""
    _settings.update(_hub_settings())


def preload_tokenizers() -> None:
    """Let the next process that forks import what reading a tokenizer needs."""
    stop()
    multiprocessing.set_forkserver_preload(_PRELOADED + _TOKENIZERS)


def stop() -> None:
    """End the process that forks, and wait for it: its CPU seconds and those of its forks count from then on."""
    forkserver._forkserver._stop()


FORKING = SimpleNamespace(
    get_context=_context, Pipe=multiprocessing.Pipe, parent_process=multiprocessing.parent_process
)
multiprocessing.set_forkserver_preload(_PRELOADED)
