"""Rules for the code that no linter holds: sizes, docstrings, and facts that are defined once."""

import ast
import re
import sys
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.source_files import PROJECT, SOURCES, TESTS, below, for_each_file, name_of

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
# Functions that may be longer, with the reason.
LONG_FUNCTIONS = {
    "core/chat/cuda/attention.py:_attend": "a Triton kernel is one function",
    "core/chat/cuda/lora.py:compute_lora_hidden_piece": "a part of a Triton kernel, inlined into it",
    "core/chat/cuda/nf4_gemv.py:_multiply": "a Triton kernel is one function",
    "core/chat/cuda/quantized_matmul.py:_product": "a Triton kernel is one function",
    "core/chat/cuda/sample_kernel.py:_sample": "a Triton kernel is one function",
    "core/kernels/attention.py:packed_attention": "the signature that transformers calls, each argument documented",
    "core/train/trl_config.py:make_sft_config": "one call with all of TRL's arguments and the reasons for them",
}


@cache
def functions(path: Path) -> list[tuple[str, int]]:
    """Return the names and numbers of lines of a file's functions, nested ones included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [(node.name, node.end_lineno - node.lineno + 1) for node in nodes]


@for_each_file([*SOURCES, *TESTS])
def test_file_has_at_most_300_lines(path):
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


# A benchmark's `main` is a script: its statements are in the order in which they run.
@for_each_file([path for path in SOURCES if not name_of(path).startswith("bench/")])
def test_function_has_at_most_40_lines(path):
    long = {f"{name_of(path)}:{name}" for name, lines in functions(path) if lines > MAX_FUNCTION_LINES}
    assert long <= LONG_FUNCTIONS.keys(), "split by meaning, or list it with the reason"


def test_listed_long_function_exceeds_limit():
    found = {f"{name_of(path)}:{name}" for path in SOURCES for name, n in functions(path) if n > MAX_FUNCTION_LINES}
    assert LONG_FUNCTIONS.keys() <= found


def test_script_has_no_name_of_the_standard_library():
    """Python searches a script's own folder first: every other script there would import it instead."""
    scripts = [path for path in SOURCES if name_of(path).split("/")[0] in ("bench", "docs")]
    assert not {path.stem for path in scripts} & set(sys.stdlib_module_names)


@for_each_file(TESTS)
def test_test_imports_no_other_test(path):
    """Shared code is in tests/helpers."""
    statements = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in statements if re.match(r"tests\..*\btest_", node.module or "")] == []


# Comments

# Comments that may be behind code: a shape, which may have a name, and notes for tools.
COMMENT_BEHIND_CODE = re.compile(r"# ((each )?\(|\w+: \(|scalar|fmt: |noqa|isort: |type: )")


@cache
def comments_of(path: Path) -> list[tokenize.TokenInfo]:
    with path.open("rb") as stream:
        return [token for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]


@for_each_file([*SOURCES, *TESTS])
def test_comment_behind_code_is_a_shape_or_for_a_tool(path):
    """A comment that says why is a sentence on the line above."""
    behind = [token.string for token in comments_of(path) if token.line[: token.start[1]].strip()]
    assert [text for text in behind if not COMMENT_BEHIND_CODE.match(text)] == []


@for_each_file([*SOURCES, *TESTS])
def test_comment_begins_with_no_noun_clause(path):
    """A heading or a definition is a noun phrase: "Names that ...", not "What ... calls" or "Of the names"."""
    comments = comments_of(path)
    # The first lines of comments: the line above is none.
    lines = {token.start[0] for token in comments}
    first = [token.string for token in comments if token.start[0] - 1 not in lines]
    begin = re.compile(r"# (What|Whoever|Whatever|Of)\b(?!.*\?$)")
    assert [text for text in first if begin.match(text)] == []


# Docstrings


def docstrings(path: Path, kinds: tuple[type, ...]) -> list[str]:
    found = [ast.get_docstring(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)]
    return [text for text in found if text]


@for_each_file(SOURCES)
def test_docstring_begins_with_no_noun_clause(path):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    begin = re.compile(r"(What|Whoever|Who|Whether|Whatever)\b")
    assert [text.splitlines()[0] for text in docstrings(path, kinds) if begin.match(text)] == []


@for_each_file(SOURCES)
def test_docstring_of_a_property_begins_with_a_verb(path):
    """ruff's D401 leaves properties out."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    properties = [node for node in nodes if any("property" in ast.unparse(mark) for mark in node.decorator_list)]
    texts = [text for node in properties if (text := ast.get_docstring(node))]
    assert [text for text in texts if not text.startswith("Return ")] == []


def test_class_docstring_is_unique():
    counts = Counter(text for path in SOURCES for text in docstrings(path, (ast.ClassDef,)))
    assert [text for text, count in counts.items() if count > 1] == []


# Texts


def is_there(reference: str) -> bool:
    """Return whether a dotted name is a module or package of the project, or defined in one."""
    words = reference.split(".")
    for count in range(len(words), 0, -1):
        place = PROJECT.joinpath(*words[:count])
        module = next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)
        if module:
            return all(re.search(rf"\b{word}\b", module.read_text()) for word in words[count:])
    return False


@for_each_file([*SOURCES, *TESTS])
def test_reference_to_the_code_names_what_exists(path):
    text = path.read_text()
    names = re.findall(r"`((?:core|components|studio|tests)(?:\.\w+)+)`", text)
    files = re.findall(
        r"(?<![\w/.])((?:core|components|studio|tests|bench|docs)/[\w/]+\.(?:py|md|js|html|css)\b)", text
    )
    assert [name for name in names if not is_there(name)] == []
    assert [file for file in files if not (PROJECT / file).exists()] == []


@for_each_file(below("core/"))
def test_reason_has_a_subject_of_its_own(path):
    """A reason is the rest of a sentence about something else, which "it" would mean."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    reasons = [node for node in nodes if re.search(r"reason|failure|problem|^_?why", node.name)]
    returned = [node.value for found in reasons for node in ast.walk(found) if isinstance(node, ast.Return)]
    texts = [node.value for value in returned if value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    assert not [text for text in texts if re.match(r"(it|its|they|their)\b", str(text))]


# Facts that have one definition


def files_of_core_with(pattern: str) -> set[str]:
    return {name_of(path) for path in below("core/") if re.search(pattern, path.read_text())}


def test_head_width_is_read_from_configs_in_one_module():
    assert files_of_core_with(r"\bhead_dim\b") == {"core/models/shape.py"}
    assert files_of_core_with(r"//[^\n]*num_attention_heads") <= {"core/models/shape.py"}


def test_kinds_of_blocks_with_a_fast_path_are_declared_in_one_module():
    kinds = r'"(Llama|Mistral)(DecoderLayer|RMSNorm|ForCausalLM)"|"Linear4bit"'
    assert files_of_core_with(kinds) == {"core/models/fast_paths.py"}


def test_for_each_file_names_every_file_that_fails():
    paths = SOURCES[:3]

    @for_each_file(paths)
    def test_it(path: Path):
        assert path != paths[1], "wrong"

    with pytest.raises(AssertionError, match=f"^{name_of(paths[1])}: wrong"):
        test_it()
