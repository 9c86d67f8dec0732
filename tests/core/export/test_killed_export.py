"""Exports that are killed at any moment: each file under its name is whole, and the next export succeeds."""

import random
import zipfile

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.export.config import ExportConfig
from core.export.job import export
from core.export.llama_quantize import is_installed
from tests.helpers.exports import write_tiny_run
from tests.helpers.gguf_models import build

# By form, its settings and in how many calls an export of the tiny model changes the folder of exports.
FORMS = {
    "adapter": ({"form": "adapter"}, 6),
    "merged": ({"form": "merged", "check_rows": 1}, 28),
    "merged-4bit": ({"form": "merged-4bit", "check_rows": 1}, 28),
    "mlx": ({"form": "mlx"}, 28),
    "gguf-adapter": ({"form": "gguf-adapter"}, 21),
    "gguf": ({"form": "gguf", "quantization": ["Q8_0"], "check_rows": 1}, 21),
    "several types": ({"form": "gguf", "quantization": ["Q4_0", "F16", "Q8_0"], "check_rows": 1}, 60),
    "ollama": ({"form": "ollama", "quantization": ["Q4_0"], "check_rows": 0}, 19),
}
# Bytes of the largest file of any of them.
LARGEST = 901_139


def one_of(numbers):
    """Draw one of many numbers, all equally likely; hypothesis prefers small integers."""
    return st.sampled_from(random.Random(0).sample(numbers, len(numbers)))


def moments(calls):
    """Draw a moment of a death: before one of the calls, or at one of the bytes that a file gets."""
    return st.tuples(st.just("call"), one_of(range(1, calls + 1))) | st.tuples(
        st.just("byte"), one_of(range(1, LARGEST, 997))
    )


KILLS = st.sampled_from(sorted(FORMS)).flatmap(lambda form: st.tuples(st.just(form), moments(FORMS[form][1])))


def as_options(config):
    options = []
    for name, values in config.items():
        for value in values if isinstance(values, list) else [values]:
            options += ["--" + name.replace("_", "-"), str(value)]
    return options


def contents(folder):
    """Return the content of each file and each card under its name; that of zips by the names in them."""
    found = {}
    for path in sorted(folder.rglob("[!.]*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.startswith("."):
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
                found[name] = sorted(archive.namelist())
        else:
            found[name] = path.read_bytes() if path.suffix == ".gguf" else path.stat().st_size > 0
    return found


def hidden(settings):
    """Return what lies in the folder of exports beside the finished files, without what `replacing` left."""
    return [path.name for path in settings.exports_dir.glob(".*") if path.is_dir() or "lock" in path.name]


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer)


def kill_and_try_again(settings, run, fork_server, config, moment, log):
    """Kill an export, look at the files that it has left, and export again; return how the first ended."""
    arguments = [str(settings.exports_dir), *map(str, moment), "core", "export", run.id, *as_options(config)]
    environment = {"STUDIO_HOME": str(settings.home), "STUDIO_MODELS": str(settings.models_dir)}
    code = fork_server.start("tests.helpers.killed", *arguments, log=log, environment=environment).wait(timeout=120)
    left = contents(settings.exports_dir)
    export(settings, run.id, "final", ExportConfig(**config))
    whole = contents(settings.exports_dir)
    assert {name: whole[name] for name in left} == left, log.read_text()
    assert code < 0 or (code == 0 and left == whole), log.read_text()
    assert hidden(settings) == []
    return code


@limits(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kill=KILLS)
def test_killed_export_leaves_only_whole_files_and_the_next_one_succeeds(settings, run, fork_server, tmp_path, kill):
    """Files of examples before stay in the folder, so that some exports replace a file."""
    form, moment = kill
    kill_and_try_again(settings, run, fork_server, FORMS[form][0], moment, tmp_path / "log")


@pytest.mark.skipif(not is_installed(), reason="llama-cpp-python is optional: it compiles for minutes")
@limits(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moment=moments(40))
def test_killed_quantization_by_llama_cpp_leaves_only_whole_files(
    settings, small_tokenizer, fork_server, tmp_path, moment
):
    run = write_tiny_run(settings, small_tokenizer, build("wide", len(small_tokenizer)))
    config = {"form": "gguf", "quantization": ["Q4_K_M", "Q8_0"], "check_rows": 1, "importance_rows": 2}
    kill_and_try_again(settings, run, fork_server, config, moment, tmp_path / "log")
