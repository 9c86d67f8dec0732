"""Architecture: the layers, read from every import, and calls that are never allowed."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.source_files import PROJECT, SOURCES, TESTS, below, for_each_file, name_of

OURS = {"core", "components", "studio", "app"}
HEAVY = {"torch", "transformers", "peft", "trl", "bitsandbytes"}
# Where a model is loaded or trained; everything else imports these inside a function.
MAY_IMPORT_HEAVY = (
    "core/kernels/",
    "core/train/",
    "core/chat/cuda/",
    *(f"core/chat/{name}.py" for name in ("adapters", "adapter_probe", "decoder", "forward", "growing_cache", "lanes")),
    *(f"core/chat/{name}.py" for name in ("peft_model", "plain", "probe", "sampler")),
)


def modules(node: ast.AST) -> list[str]:
    """Return the modules that an import statement names; `from studio import app` names studio.app."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


@cache
def imported(source: str) -> set[str]:
    """Return every import, wherever it is."""
    return {module for node in ast.walk(ast.parse(source)) for module in modules(node)}


@cache
def imported_at_once(source: str) -> set[str]:
    """Return the imports that run when the module is imported: outside functions, outside TYPE_CHECKING."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        found |= set(modules(node))
        waiting += ast.iter_child_nodes(node)
    return found


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


UNSAFE_OPTIONS = {"shell", "trust_remote_code", "allow_pickle"}
UNSAFE_CALLS = {"torch.load", "os.system", "os.popen"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def is_danger(node: ast.AST) -> bool:
    """Return whether a call or an import runs foreign code or reads a pickle."""
    if isinstance(node, ast.keyword):
        off = isinstance(node.value, ast.Constant) and node.value.value is False
        return node.arg in UNSAFE_OPTIONS and not off
    if isinstance(node, ast.Attribute):
        return ast.unparse(node) in UNSAFE_CALLS
    names = set(modules(node))
    return bool(tops(names) & PICKLES or names & UNSAFE_CALLS)


@cache
def dangers(source: str) -> list[str]:
    return [ast.unparse(node) for node in ast.walk(ast.parse(source)) if is_danger(node)]


@pytest.mark.parametrize(
    ("source", "everywhere", "at_once"),
    [
        ("import gradio as gr", {"gradio"}, {"gradio"}),
        ("from studio import app", {"studio.app"}, {"studio.app"}),
        ("def f():\n    import torch", {"torch"}, set()),
        ("class A:\n    import torch", {"torch"}, {"torch"}),
        ("try:\n    import trl.x\nexcept E:\n    pass", {"trl.x"}, {"trl.x"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import peft", {"torch", "peft"}, {"peft"}),
    ],
)
def test_import_inside_a_block_is_found(source, everywhere, at_once):
    assert imported(source) == everywhere
    assert imported_at_once(source) == at_once


def test_source_files_include_every_folder():
    assert {"app.py", "core/cli/__init__.py", "components/model_form.py", "studio/app.py"} <= {
        name_of(p) for p in SOURCES
    }


@for_each_file(below("core/"))
def test_core_imports_no_gradio(path):
    assert not tops(imported(path.read_text())) & {"gradio", "gradio_client", "components", "studio", "app"}


@for_each_file(below("components/"))
def test_components_import_only_listed_libraries(path):
    foreign = tops(imported(path.read_text())) - sys.stdlib_module_names
    assert foreign <= {"gradio", "pydantic", "jinja2", "markupsafe", "components"}


@for_each_file([p for p in below("studio/") if p.name.endswith("_tab.py")])
def test_tab_imports_no_other_tab(path):
    names = {".".join(name.split(".")[:2]) for name in imported(path.read_text())}
    own = f"studio.{path.stem}"
    assert not {name for name in names if name == "studio.app" or (name.endswith("_tab") and name != own)}


TAB_PACKAGES = ("chat", "data", "evaluate", "train")


@for_each_file([p for p in below("studio/") if p.parent.name in TAB_PACKAGES or p.name.endswith("_tab.py")])
def test_tab_imports_no_package_of_another_tab(path):
    own = path.stem.removesuffix("_tab") if path.name.endswith("_tab.py") else path.parent.name
    tops_of_studio = {name.split(".")[1] for name in imported(path.read_text()) if name.startswith("studio.")}
    assert not tops_of_studio & {*TAB_PACKAGES, *(f"{name}_tab" for name in TAB_PACKAGES)} - {own, f"{own}_tab"}


@for_each_file([p for p in TESTS if name_of(p).startswith(("tests/core/", "tests/components/", "tests/studio/"))])
def test_tests_of_a_layer_are_in_a_folder_of_the_code(path):
    assert (PROJECT / path.parent.relative_to(PROJECT / "tests")).is_dir()


@for_each_file([p for p in TESTS if name_of(p).startswith("tests/studio/")])
def test_tests_of_a_module_of_studio_are_in_its_folder(path):
    folder, module = path.parent.relative_to(PROJECT / "tests"), path.name.removeprefix("test_")
    # The tests of a tab are in the folder of the tab's package.
    own = folder.parent if module == f"{folder.name}_tab.py" else folder
    homes = {p.parent.relative_to(PROJECT) for p in below("studio/") if p.name == module}
    assert not homes or own in homes


# From the ground up: a package imports itself and those before it.
CORE_ORDER = (
    "errors", "settings", "system", "access", "web", "hub", "hardware", "models", "data", "runs", "kernels", "train",
    "chat", "evaluate", "export", "serve", "cli",
)  # fmt: skip


def packages_of_core(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("core.")}


def core_package(path: Path) -> str:
    return path.relative_to(PROJECT / "core").with_suffix("").parts[0]


def test_order_of_core_lists_every_package_and_module():
    found = {core_package(path) for path in below("core/")} - {"__init__", "__main__"}
    assert sorted(CORE_ORDER) == sorted(found)
    text = " ".join((PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    assert f"those before it in this list: {', '.join(CORE_ORDER)}." in text


@for_each_file([p for p in below("core/") if not core_package(p).startswith("__")])
def test_core_imports_only_downward(path):
    """Also inside functions and under TYPE_CHECKING."""
    own = CORE_ORDER.index(core_package(path))
    upward = {name for name in packages_of_core(imported(path.read_text())) if CORE_ORDER.index(name) > own}
    assert not upward


def import_graph() -> dict[str, set[str]]:
    """Return which of our modules each of them imports, wherever the import is."""
    files = {name_of(p).removesuffix(".py").replace("/", ".").removesuffix(".__init__"): p for p in SOURCES}
    graph: dict[str, set[str]] = {}
    for module, path in files.items():
        found = set()
        for name in imported(path.read_text()):
            # `from a.b import c` names a.b.c, which may be a module or something inside a.b.
            target = name if name in files else name.rpartition(".")[0]
            found |= {target} & (files.keys() - {module})
        graph[module] = found
    return graph


def cycles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the groups of modules that all import each other, directly or not."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        waiting, seen = [start], set()
        while waiting:
            for module in graph[waiting.pop()] - seen:
                seen.add(module)
                waiting.append(module)
        reached[start] = seen
    looping = {module for module in graph if module in reached[module]}
    return {frozenset(b for b in looping if b in reached[a] and a in reached[b]) for a in looping}


def test_cycles_finds_direct_and_indirect_cycles():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": {"a"}}
    assert cycles(graph) == {frozenset("abc"), frozenset("de")}


def test_no_import_cycle():
    """Also not through functions or TYPE_CHECKING."""
    assert not cycles(import_graph())


def test_app_imports_only_studio_and_startup_modules():
    ours = {name for name in imported((PROJECT / "app.py").read_text()) if name.partition(".")[0] in OURS}
    assert ours
    start = ("studio.", "core.settings.", "core.errors.", "core.system.fast_imports.", "core.system.shared_imports.",
             "core.system.streams.")  # fmt: skip
    assert all(name.startswith(start) for name in ours), ours


@for_each_file(SOURCES)
def test_heavy_libraries_are_imported_inside_functions(path):
    if not name_of(path).startswith(MAY_IMPORT_HEAVY):
        assert not tops(imported_at_once(path.read_text())) & HEAVY


def test_page_is_built_without_torch(tmp_path):
    code = (
        "import sys; from core.settings import Settings; from studio.app import build; "
        f"build(Settings().prepare()); print('built', sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=os.environ | {"STUDIO_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "built []", done.stdout + done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "run('ls', shell=True)",
        "run('ls', shell=wanted)",
        "load(x, trust_remote_code=True)",
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "from torch import load",
        "numpy.load(path, allow_pickle=True)",
        "os.system('ls')",
    ],
)
def test_unsafe_call_is_found(source):
    assert dangers(source)


@for_each_file([*SOURCES, *TESTS])
def test_source_file_has_no_unsafe_call(path):
    assert dangers(path.read_text()) == []


# The file tree of the documentation


def file_of(module: str) -> Path | None:
    path = PROJECT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def defined(path: Path) -> set[str]:
    """Return the names that a module has once it is imported."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    return found


@for_each_file(SOURCES)
def test_import_of_own_name_exists(path):
    """Also what only a bench imports, inside a function, and no test runs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] in OURS:
            source = file_of(node.module)
            there = defined(source) if source else set()
            missing = [a.name for a in node.names if a.name not in there and not file_of(f"{node.module}.{a.name}")]
            assert missing == [], f"{node.module} has no {missing}"
