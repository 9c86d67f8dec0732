"""The report of a run: results, settings, sample answers and plots."""

import re

import pytest
from PIL import Image

from core.errors import StudioError
from core.runs import plots, report
from core.runs.config import QLoRAConfig
from core.runs.metrics_series import METRIC_TITLES
from core.runs.store import Label
from tests.helpers.run_events import EVENTS, HOSTILE, PREPARED

LINEAGE = {"code": "abc-dirty", "hardware": "a CPU", "base_commit": None, "python": "3.11", "packages": {"torch": "2"}}


def write_report(run):
    """Write the report of a run, and return its text."""
    return report.write(run, run.state()).read_text()


# Shown on the page only: they depend on the machine more than on the run.
NOT_PLOTTED = {"memory_gib", "utilization"}


def test_every_metric_is_plotted_or_left_out_on_purpose():
    assert {*plots.METRICS, *NOT_PLOTTED} == set(METRIC_TITLES)


def test_report_has_results_rows_settings_and_versions(a_run):
    reported = [PREPARED | {"lineage": LINEAGE}, *EVENTS[2:]]
    run = a_run(reported, QLoRAConfig(lora_rank=8), cause="Stopped on request.", status="stopped")
    run.save_label(Label(name="the first", tags=["a", "b"], note="to see"))
    page = write_report(run)
    for words in (
        "# the first", "Stopped, 2 of 10 steps in 4 s", "Stopped on request.", "Tags: a, b", "to see",
        "| Held-out loss before training | 4.0000 |", "| Held-out loss, last | 3.0000 (-25.0%) |",
        "The loss has not been a number since step 2", "1,200 rows, 56,789 tokens per epoch",
        "3 rows left out: no answer",
        "| LoRA | Rank | 8 | 16 |", "**Why?**", "Because.", "Attention is sdpa", "abc-dirty", "torch 2",
        "--lora-rank 8", "SHA-256 of the conversations",
    ):  # fmt: skip
        assert words in page, words
    for name in re.findall(r"!\[[^]]+\]\((.+?)\)", page):
        with Image.open(run.folder / "report" / name) as picture:
            assert picture.width > 800
            # A blank picture has one shade of gray.
            assert len(set(picture.convert("L").resize((90, 36)).tobytes())) > 3


def test_report_shows_first_and_last_sample_answers(a_run):
    samples = [
        {"event": "sample", "step": step, "prompts": ["Who?"], "answers": [answer]}
        for step, answer in ((0, "A model."), (2, "not shown"), (4, f"``` {HOSTILE}"))
    ]
    page = write_report(a_run(samples))
    assert "Step 0:" in page
    assert "Step 4:" in page
    assert "not shown" not in page
    assert f"````text\n``` {HOSTILE}\n````" in page


def test_report_of_run_without_events_is_written(a_run):
    run = a_run([], status="failed", cause="No GPU.")
    page = write_report(run)
    assert "Failed, 0 of 0 steps" in page
    assert "No GPU." in page
    assert "![" not in page


def test_report_escapes_names(a_run):
    run = a_run(EVENTS)
    run.save_label(Label(name=HOSTILE, note=HOSTILE))
    assert "<script>" not in write_report(run)


def test_report_without_config_is_rejected(a_run):
    run = a_run()
    (run.folder / "config.json").write_text("{")
    with pytest.raises(StudioError, match=r"no readable config\.json"):
        write_report(run)
