"""The checks of the Export tab: card, verification and the check before publishing, with their results and refusals."""

import shutil

import pytest

from core.data import subset
from core.data.recipe import Recipe
from core.errors import StudioError
from core.export.publish.check import PublishCheck, check_publish
from core.export.publish.findings import search_rows
from core.runs import example, receipt
from core.runs.store import RunStore
from core.settings import Settings
from core.system.files import read_json, write_json
from core.system.jobs import Jobs
from core.train.verification import Check, ReplayedStep, Verification
from core.train.verify import verify
from studio.export_checks import ExportChecks, result_html
from studio.job_progress import cancel
from tests.helpers.datasets import dialog, open_dialogs
from tests.helpers.exports import write_tiny_run
from tests.helpers.hostile_text import HOSTILE, ParsedHtml


@pytest.fixture
def do(settings, small_tokenizer, tmp_path):
    data = open_dialogs(settings, tmp_path, [dialog(f"I am jane{n}@host.org", f"Answer {n}.") for n in range(4)])
    subset.create(settings, "mails", Recipe(dataset=data.id))
    run = write_tiny_run(settings, small_tokenizer, subset="mails", quantization="none")
    actions = ExportChecks(RunStore(settings), Jobs())
    actions.run = run
    return actions


def test_card_of_the_chosen_form_is_shown(do):
    shown = do.show_card(do.run.id, "final", "gguf")["checked"]
    assert "base_model_relation: quantized" in shown
    assert "## Training data" in shown
    with pytest.raises(StudioError, match="There is no form 'exe'"):
        do.show_card(do.run.id, "final", "exe")
    with pytest.raises(StudioError, match="has no adapter 'step 9'"):
        do.show_card(do.run.id, "step 9", "adapter")


def test_run_without_a_receipt_is_named(do):
    with pytest.raises(StudioError, match="has no receipt"):
        list(do.verify(do.run.id))


def offered(do, run):
    shown = do.offer(run)
    return [name for name in ("card", "verification", "publish") if shown[name]["interactive"]], shown["reasons"]


def test_checks_that_a_run_does_not_allow_are_not_offered_and_raise_the_same_reason(do, settings):
    example.install(Settings(home=settings.home, example=True))
    assert offered(do, None)[0] == []
    assert "A card and checks are of a run with an adapter. Train one first." in offered(do, None)[1]
    names, reasons = offered(do, example.EXAMPLE_RUN)
    assert "verification" not in names
    assert "The example run came with the studio and has no receipt." in reasons
    assert "earlier version of the studio trained it" in offered(do, do.run.id)[1]
    receipt.write(settings, do.run, 0)
    assert offered(do, do.run.id) == (["card", "verification", "publish"], "")
    do.run.save_state(do.run.saved_state().model_copy(update={"status": "queued"}))
    assert "is queued. Wait until it has ended" in offered(do, do.run.id)[1]
    shutil.rmtree(settings.subsets_dir / "mails")
    names, reasons = offered(do, do.run.id)
    assert names == ["card"]
    assert "The rows of this run cannot be read: There is no subset" in reasons
    with pytest.raises(StudioError, match="The rows of this run cannot be read: There is no subset 'mails'"):
        check_publish(settings, do.run.id)
    # An adapter that was imported is known to the command line only.
    shutil.copytree(settings.home / "adapter", settings.adapters_dir / "lora" / "adapter")
    for file in ("config.json", "state.json"):
        shutil.copyfile(do.run.folder / file, settings.adapters_dir / "lora" / file)
    state = read_json(settings.adapters_dir / "lora" / "state.json") | {"status": "finished"}
    write_json(settings.adapters_dir / "lora" / "state.json", state)
    with pytest.raises(StudioError, match="The adapter lora was imported"):
        verify(settings, "lora")


def test_verification_names_what_differs(do, settings):
    receipt.write(settings, do.run, 0)
    (do.run.adapter / "chat_template.jinja").write_text("changed")
    updates = list(do.verify(do.run.id))
    last = updates[-1]
    assert updates[0] == {"checked": ""}
    assert "Different: adapter." in last["checked"]
    assert "chat_template.jinja" in last["checked"]
    assert last["progress_row"]["visible"] is False


def test_second_check_is_refused_while_one_runs(do, settings):
    receipt.write(settings, do.run, 0)
    first = do.check(do.run.id, "final")
    next(first)
    with pytest.raises(StudioError, match=r"Checking .* is under way"):
        next(do.verify(do.run.id))
    cancel(do.jobs, next(updates["job"] for updates in first if updates.get("job")))
    assert list(first)[-1]["job"] is None


def test_check_lists_findings_with_their_rows(do):
    *_, last = do.check(do.run.id, "final")
    assert "4 e-mail addresses" in last["checked"]
    assert "j…@host.org" in last["checked"]
    assert "No training row has an answer of 32 tokens" in last["checked"]
    with pytest.raises(StudioError, match="has no adapter 'step 9'"):
        list(do.check(do.run.id, "step 9"))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_texts_of_results_are_escaped(hostile):
    found = Verification(
        run=hostile, checks=[Check(name=hostile, outcome="different", text=hostile)],
        steps=[ReplayedStep(step=1, recorded=hostile, repeated=1.0, same_rows=False)],
    )  # fmt: skip
    message = f"a@{'b' * 9}.org {hostile}"
    findings = search_rows([("train", 1, [{"role": "user", "content": message}])])
    findings.listed[0].shown = hostile
    checked = PublishCheck(adapter_sha256="", rows_sha256="", findings=findings, notes=[hostile])
    for html in map(result_html, (found, checked)):
        allowed = {"div", "section", "p", "b", "h4", "table", "thead", "tbody", "tr", "th", "td"}
        assert {tag for tag, _ in ParsedHtml(html).tags} <= allowed
