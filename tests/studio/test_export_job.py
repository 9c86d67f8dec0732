"""Merged exports on the page: which settings a form shows, the job, its result, and what is refused."""

import re

import gradio as gr
import pytest

from core.access import roles
from core.access.roles import Caller, Role
from core.errors import StudioError
from core.export.config import FORMS, SETTINGS, ExportConfig
from core.export.llama_quantize import is_installed
from core.system.jobs import Jobs
from studio import export_job
from studio.export_combine import list_others, other_adapters
from studio.export_job import ExportJobs
from tests.helpers.exports import write_tiny_run

VALUES = {name: ExportConfig.model_fields[name].default for name in SETTINGS}


@pytest.fixture
def do(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    from core.runs.store import RunStore

    actions = ExportJobs(RunStore(settings), Jobs())
    actions.run = run
    return actions


@pytest.mark.parametrize("form", FORMS)
def test_form_shows_its_settings_and_its_button(do, form):
    shown = do.choose_form(form)
    visible = {name for name in SETTINGS if shown[name]["visible"]}
    absent = set() if is_installed() else {"importance_rows"}
    assert visible == set(FORMS[form].settings) - absent - {"combination", "weight"}
    # How adapters are combined is shown where there are several.
    shown = do.choose_form(form, ["other"]) | do.show_combination(form, ["other"])
    assert {name for name in SETTINGS if shown[name]["visible"]} == set(FORMS[form].settings) - absent
    assert shown["download"]["visible"] is (form == "adapter")
    assert shown["start"]["visible"] is (form != "adapter")
    assert shown["about"]["visible"] is (form == "adapter")
    assert (FORMS[form].text in shown["form_text"]) is (form != "adapter")


def test_page_says_how_much_is_written_and_why_an_export_is_not_offered(do):
    shown = do.describe("gguf", [], do.run.id, "final", quantization=["Q8_0", "Q4_0"], base="as trained")
    assert (shown["start"]["interactive"], shown["start"]["value"]) == (True, "Export 2 types")
    assert re.search(r"About [\d.]+ KiB will be written; there is space for [\d.]+ \w+\.", shown["form_text"])
    one = do.describe("gguf", [], do.run.id, "final", quantization=["Q8_0"], base="as trained")
    assert (one["start"]["value"], one["form_text"] == shown["form_text"]) == ("Export", False)
    shown = do.choose_form("combined", [], do.run.id, "final")
    assert (shown["start"]["interactive"], shown["start"]["visible"]) == (False, True)
    assert "Combine with is empty" in shown["form_text"]
    assert do.describe("combined", ["other"], do.run.id, "final")["start"]["interactive"]
    # Export itself refuses an incomplete setting; a run may be deleted meanwhile.
    assert do.describe("gguf", [], do.run.id, "final", quantization=[])["start"]["interactive"]
    assert do.describe("gguf", [], "gone", "final", quantization=["F16"])["start"]["interactive"]


def test_visitor_reads_one_sentence_in_place_of_settings(do):
    with roles.acting(Caller(Role.VISITOR, "x")):
        for form in FORMS:
            shown = do.choose_form(form, None, do.run.id, "final")
            assert [shown[name]["visible"] for name in ("settings_row", "download", "start")] == [False] * 3
            assert ("Only the owner can export it." in shown["form_text"]) is (form != "adapter")


def test_every_setting_belongs_to_a_form():
    assert {name for about in FORMS.values() for name in about.settings} == set(SETTINGS)


def test_export_ends_with_a_file_and_the_comparison(do, settings):
    updates = list(do.start(do.run.id, "final", "gguf", **(VALUES | {"check_rows": 2})))
    assert updates[0]["file"]["visible"] is False
    last = updates[-1]
    assert last["file"]["value"].endswith("-Q8_0.gguf")
    assert last["file"]["visible"] is True
    assert "KL divergence, mean" in last["result"]
    assert "llama-cli -m" in last["result"]
    assert last["progress_row"]["visible"] is False
    assert updates[0]["form"]["interactive"] is False
    assert last["form"]["interactive"]
    assert list(do.watch()) == [], "no export runs"


def test_several_types_are_shown_as_a_table_with_a_picture(do):
    *_, last = do.start(do.run.id, "final", "gguf", **(VALUES | {"check_rows": 20, "quantization": ["Q8_0", "Q4_0"]}))
    assert last["file"]["value"].endswith("_0.gguf")
    for text in ("<th>KL, mean</th>", "<td>Q4_0</td>", "data:image/png;base64,", "-types.zip has this comparison"):
        assert text in last["result"]


def test_adapters_of_the_same_base_are_offered_and_combined(do, settings, small_tokenizer):
    none = list_others(do.runs, do.run.id)
    assert (none["choices"], "There is no other adapter of tiny." in none["info"]) == ([], True)
    second = write_tiny_run(settings, small_tokenizer)
    assert "type NAME=WEIGHT" in list_others(do.runs, do.run.id)["info"]
    ((label, name),) = other_adapters(do.runs, do.run.id)
    assert (label.endswith(" × 1"), name) == (True, second.id)
    changed = {"also": [f"{second.id}=0.5"], "weight": 0.5, "check_rows": 1}
    *_, last = do.start(do.run.id, "final", "combined", **(VALUES | changed))
    assert last["file"]["value"].endswith("-combined.zip")
    # The title stands for the id.
    title = {"also": [f"{do.runs.titles()[second.id]}=0.5"]}
    *_, same = do.start(do.run.id, "final", "combined", **(VALUES | changed | title))
    assert same["file"]["value"] == last["file"]["value"]
    for text in (
        "AutoPeftModelForCausalLM",
        "Compared with this run&#39;s adapter alone",
        "KL divergence, mean",
        "Serve it",
        "vllm serve tiny --enable-lora",
    ):
        assert text in last["result"]
    # The hidden weight of one adapter does nothing.
    *_, last = do.start(do.run.id, "final", "gguf-adapter", **(VALUES | {"weight": 0.5}))
    assert "-mix-" not in last["file"]["value"]
    with pytest.raises(StudioError, match="Combine with is empty"):
        list(do.start(do.run.id, "final", "combined", **VALUES))
    with pytest.raises(StudioError, match="has the weight 'x'"):
        list(do.start(do.run.id, "final", "merged", **(VALUES | {"also": ["other=x"]})))


@pytest.mark.parametrize("found", [True, False])
def test_types_of_llama_cpp_are_offered_where_it_is_installed(monkeypatch, found):
    monkeypatch.setattr(export_job, "is_installed", lambda: found)
    with gr.Blocks():
        field = export_job.build_settings()["quantization"]
    assert field.multiselect
    assert ("Q4_K_M" in [value for _, value in field.choices]) is found
    assert ("requirements-llama-cpp.txt" in field.info) is not found
    assert ("importance_rows" in export_job.shown_settings("gguf")) is found


def test_export_that_runs_is_shown_on_another_page_and_cancelled_without_a_trace(do, settings):
    first = do.start(do.run.id, "final", "merged", **(VALUES | {"strength": 2}))
    next(first)
    other = do.watch()
    chosen = next(other)
    assert (chosen["form"]["value"], chosen["run"]["value"], chosen["adapter"]["value"]) == (
        "merged", do.run.id, "final",
    )  # fmt: skip
    assert (chosen["strength"]["value"], chosen["quantization"]["visible"]) == (2, False)
    assert (chosen["start"]["visible"], chosen["about"]["visible"]) == (True, False)
    assert next(other)["form"]["interactive"] is False
    number = next(updates["job"] for updates in first if updates.get("job"))
    assert list(do.watch(number)) == [], "the page shows it already"
    with pytest.raises(StudioError, match=r"Exporting .* as Merged model .* is running .*press Cancel"):
        list(do.start(do.run.id, "final", "gguf", **VALUES))
    do.cancel(number)
    assert do.jobs.find(number).status == "cancelled"
    assert list(other)[-1]["form"]["interactive"]
    assert [path.name for path in settings.exports_dir.iterdir() if "merged" in path.name or "lock" in path.name] == []


def test_invalid_setting_is_refused_with_its_title(do):
    with pytest.raises(StudioError, match="Adapter strength"):
        list(do.start(do.run.id, "final", "gguf", **(VALUES | {"strength": 9})))
    with pytest.raises(StudioError, match="Compared rows is empty or no number"):
        list(do.start(do.run.id, "final", "gguf", **(VALUES | {"check_rows": None})))
    with pytest.raises(StudioError, match=r"GGUF type is empty\. Choose at least one"):
        list(do.start(do.run.id, "final", "gguf", **(VALUES | {"quantization": []})))
    with pytest.raises(StudioError, match="There is no form 'exe'"):
        list(do.start(do.run.id, "final", "exe", **VALUES))


def test_failure_of_the_job_is_shown(do):
    (do.run.adapter / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(StudioError, match="is damaged"):
        list(do.start(do.run.id, "final", "merged", **VALUES))
