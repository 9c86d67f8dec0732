"""Size of an export before it starts, reasons why it cannot be made, and the shares of its progress."""

import itertools
import struct

import pytest

from core.errors import StudioError
from core.export.availability import form_problem
from core.export.base_weights import WeightFiles
from core.export.config import FORMS, ExportConfig
from core.export.disk import file_sizes, work_shares
from core.export.job import export
from core.export.merge import MergedModel
from core.export.size_estimate import estimate_bytes
from core.models import catalogue
from core.models.loading import Precision
from core.models.weight_headers import model_shapes, read_shapes
from core.system.files import read_json, write_json
from tests.helpers.exports import write_tiny_run


@pytest.fixture
def run(settings, small_tokenizer):
    return write_tiny_run(settings, small_tokenizer)


def merged_of(settings, run):
    config = run.config()
    precision = Precision(config.quantization, config.double_quantization, config.compute_dtype)
    return MergedModel(WeightFiles(catalogue.find(settings, "tiny"), precision, "original"), run.adapter)


def test_estimate_is_the_size_that_the_disk_is_checked_for(settings, run):
    merged = merged_of(settings, run)
    for form in FORMS:
        values = {"quantization": ["Q8_0", "Q4_0", "F16", "Q4_K_M"]} if "quantization" in FORMS[form].settings else {}
        config = ExportConfig(form=form, **values)
        exact, found = sum(file_sizes(merged, config)), estimate_bytes(settings, run, run.adapter, config)
        # Headers of an adapter's file, rows that are no multiple of a block, and the tables of NF4 are not counted.
        assert found == pytest.approx(exact, rel=0.15), form
    (settings.models_dir / "tiny" / "model.safetensors").unlink()
    assert estimate_bytes(settings, run, run.adapter, ExportConfig(form="merged")) is None


@pytest.mark.parametrize("content", [
    b"", b"x" * 9, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 8) + b'{"a": 1}', struct.pack("<Q", 2**63) + b"{",
    struct.pack("<Q", 27) + b'{"a": {"shape": [Infinity]}}', struct.pack("<Q", 9**6) + b"[" * 9**6,
])  # fmt: skip
def test_damaged_header_has_no_shapes(settings, run, content):
    path = settings.models_dir / "tiny" / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        read_shapes(path)
    assert model_shapes(catalogue.find(settings, "tiny")) == {}


def test_shares_of_several_files_follow_their_bytes(settings, run):
    merged = merged_of(settings, run)
    config = ExportConfig(form="gguf", quantization=["Q8_0", "Q4_0", "Q5_K_M", "Q4_K_M"], check_rows=0)
    shares = work_shares(merged, config)
    assert [shares[0][0], shares[-1][1]] == [0, pytest.approx(1)]
    assert all(first[1] == second[0] for first, second in itertools.pairwise(shares))
    widths, sizes = [end - start for start, end in shares], file_sizes(merged, config)
    assert (widths[0] - widths[1]) / widths[0] < (sizes[0] - sizes[1]) / sizes[0], "each is merged from the whole model"
    assert widths[2] > widths[0] > widths[3], "the first type of llama.cpp also needs the file in F16"
    compared = [end - start for start, end in work_shares(merged, config.model_copy(update={"check_rows": 8}))]
    assert compared[0] - compared[1] < widths[0] - widths[1], "each file is read back as a whole"
    assert work_shares(merged, ExportConfig(form="merged")) == [(0, 1)]


def test_stages_of_several_types_name_each_and_their_count(settings, run):
    stages = []
    config = ExportConfig(form="gguf", quantization=["Q8_0", "Q4_0"], check_rows=0)
    export(settings, run.id, "final", config, lambda share, stage: stages.append((share, stage)))
    assert [share for share, _ in stages] == sorted(share for share, _ in stages)
    assert not any("held-out rows" in stage for _, stage in stages), "nothing is compared"
    starts = [stage.partition(":")[0] for _, stage in stages]
    assert list(dict.fromkeys(starts)) == [
        "Loading the base model", "Q8_0, 1 of 2 types", "Q4_0, 2 of 2 types", "Done",
    ]  # fmt: skip


@pytest.mark.parametrize(("form", "changes", "values", "words"), [
    ("merged", {}, {}, ""),
    ("adapter", {"task": "classify"}, {}, ""),
    ("gguf", {"task": "classify"}, {}, "A classifier has a head"),
    ("combined", {}, {}, "Combine with is empty"),
    ("combined", {}, {"also": ["other"]}, ""),
    ("merged", {"quantization": "int8"}, {}, "Set Base weights to original"),
    ("merged", {"quantization": "int8"}, {"base": "original"}, ""),
    ("gguf-adapter", {"quantization": "int8"}, {}, ""),
    ("merged", {"model": "gone"}, {}, "There is no model 'gone'"),
])  # fmt: skip
def test_export_that_a_run_does_not_allow_is_refused_with_the_reason_that_the_page_shows(
    settings, run, form, changes, values, words
):
    run.save_config(run.config().model_copy(update=changes))
    config = ExportConfig(form=form, **values)
    found = form_problem(settings, run, config)
    assert words in found
    assert bool(words) == bool(found)
    if found:
        with pytest.raises(StudioError) as refused:
            export(settings, run.id, "final", config)
        assert str(refused.value) == found


def test_model_of_another_type_is_no_gguf(settings, run):
    path = settings.models_dir / "tiny" / "config.json"
    write_json(path, read_json(path) | {"model_type": "mamba"})
    assert "of the type 'mamba' cannot be written as GGUF" in form_problem(settings, run, ExportConfig(form="ollama"))
    assert form_problem(settings, run, ExportConfig(form="merged")) == ""
