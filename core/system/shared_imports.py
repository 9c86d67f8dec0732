"""Several threads that import transformers for the first time at once, as the first visitors of a server do.

transformers replaces itself in `sys.modules` at the end of its import. A thread that waited for that import still gets
the module that was replaced, which has none of the library's names: "cannot import name 'AutoConfig'".
"""

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_NAME = "transformers"


class _Finder(MetaPathFinder):
    """Finds transformers as Python does, and lets the module that it replaces pass names on."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _NAME:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = functools.partial(_run_and_pass_names_on, spec.loader.exec_module)
            spec.loader.exec_module = run  # type: ignore[method-assign]
        return spec


def share_first_import() -> None:
    """Let threads of this process import transformers at once; to be called before it is imported."""
    sys.meta_path.insert(0, _Finder())


def _run_and_pass_names_on(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    def get(name: str) -> Any:
        current = sys.modules[_NAME]
        if current is module:
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}")
        return getattr(current, name)

    module.__getattr__ = get  # type: ignore[method-assign]
    run(module)
