"""Losses of the rows of a dataset: equal to transformers', complete after a kill, and refused where they would lie."""

import json
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel

from core.chat.types import BaseIdentity
from core.data import row_losses, subset, table
from core.data.row_losses import LossSource
from core.data.rows import Rows
from core.data.tokens import IGNORE_INDEX, Renderer
from core.errors import StudioError
from core.evaluate.line_file import LineWriter
from core.evaluate.row_losses.lines import BASE_LANE, TUNED_LANE, make_line, read_done, write_parquet
from core.evaluate.row_losses.measure import measure
from core.evaluate.row_losses.plan import plan
from core.evaluate.row_losses.sources import source_of_model, source_of_run, training_rows
from core.models import catalogue
from core.models.loading import load_base, load_tokenizer

ROWS = 40


@pytest.fixture
def home(tiny):
    """Return the settings, the runs, the bundled dataset, and a run that trains on a subset of it."""
    store, _ = tiny
    settings = store.settings
    data = table.opened_datasets(settings)[0]
    first = Rows(settings, data.id).usable_rows()
    edited = {next(first)[0]: [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]}
    recipe = {"dataset": data.id, "rows": ROWS, "method": "first", "edited": edited}
    subset.create(settings, "some", subset.Recipe(**recipe))
    [run] = store.runs.runs()
    run.save_config(run.config().model_copy(update={"subset": "some", "max_length": 96}))
    (run.folder / "subset.json").write_text(subset.find(settings, "some").model_dump_json())
    return settings, store.runs, data, run


def transformers_loss(model, rendered):
    labels = torch.tensor([[IGNORE_INDEX, *rendered.labels[1:]]])
    with torch.no_grad():
        return model(input_ids=torch.tensor([rendered.input_ids]), labels=labels).loss.item()


def read(settings, data, source):
    path = row_losses.find(settings, data, data.detected, source)
    return {record["row"]: record for record in pq.read_table(path).to_pylist()}


@pytest.mark.slow
def test_measurement_killed_and_resumed_equals_transformers_for_every_row(home, fork_server, tmp_path, monkeypatch):
    settings, runs, data, run = home
    source = source_of_run(runs, run)
    lines = row_losses.path_of(settings, data, data.detected, source).with_suffix(".jsonl")
    environment = {"STUDIO_HOME": str(settings.home)}
    command = ("core", "data", "loss", data.id, "--run", run.id)
    job = fork_server.start(*command, log=tmp_path / "log", environment=environment)
    deadline = time.monotonic() + 60
    while not lines.exists() or not lines.stat().st_size:
        assert job.poll() is None or lines.exists(), (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    job.kill()
    job.wait(30)
    assert not psutil.pid_exists(job.pid) or psutil.Process(job.pid).status() == psutil.STATUS_ZOMBIE
    with pytest.raises(StudioError, match="are not on this machine"):
        row_losses.find(settings, data, data.detected, source)
    before = lines.read_bytes().rpartition(b"\n")[0].splitlines()
    # A kill can leave half of a line.
    with lines.open("ab") as stream:
        stream.write(b'{"row": 3, "la')
    written = []

    def keep_lines(path, *more):
        written.extend((line["row"], line["lane"]) for line in map(json.loads, path.read_text().splitlines()))
        write_parquet(path, *more)

    monkeypatch.setattr("core.evaluate.row_losses.measure.write_parquet", keep_lines)
    seen = []
    measure(settings, data, data.detected, source, lambda share, text: seen.append((share, text)))
    assert before
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    assert any("rows, " in text and text.endswith(" left") for _, text in seen)

    found = read(settings, data, source)
    wanted = training_rows(settings, data, data.detected, run)
    assert len(wanted) == ROWS - 1, "the edited row is not one of the dataset's"
    assert set(found) == wanted
    assert sorted(written) == [(row, lane) for row in sorted(wanted) for lane in (BASE_LANE, TUNED_LANE)]
    config = run.config()
    renderer = Renderer(load_tokenizer(catalogue.find(settings, "tiny")), config.chat_template)
    base = load_base(catalogue.find(settings, "tiny"), BaseIdentity.from_config(config).precision).model.eval()
    for row, _, messages in Rows(settings, data.id).usable_rows(wanted):
        rendered = renderer.render(messages, config.max_length)
        assert found[row]["base_loss"] == pytest.approx(transformers_loss(base, rendered), abs=1e-4)
        assert (found[row]["tokens"], found[row]["truncated"]) == (rendered.loss_tokens, rendered.is_truncated)
    tuned = PeftModel.from_pretrained(base, run.adapter).eval()
    for row, _, messages in Rows(settings, data.id).usable_rows(wanted):
        expected = transformers_loss(tuned, renderer.render(messages, config.max_length))
        assert found[row]["tuned_loss"] == pytest.approx(expected, abs=1e-4)
    assert any(record["truncated"] for record in found.values())
    assert not lines.exists()
    code, out, err = fork_server.run(*command, "--show", "3", **environment)
    assert code == 0, err
    assert f"{ROWS - 1} rows have a loss" in out
    highest = sorted(found.values(), key=lambda record: (-record["base_loss"], record["row"]))[:3]
    for record, line in zip(highest, out.splitlines()[-3:], strict=True):
        assert line.split()[:3] == [str(record["row"]), f"{record['base_loss']:.4f}", f"{record['tuned_loss']:.4f}"]
    # The speed of this measurement estimates the next one.
    assert "by the speed of an earlier measurement" in plan(runs, data, data.detected, source).describe()
    assert row_losses.available(settings, data, data.detected) == [source]


def test_measurement_of_a_base_alone_has_all_usable_rows(home, monkeypatch):
    settings, runs, data, run = home
    source = source_of_run(runs, run).model_copy(update={"run": "", "adapter": "", "adapter_sha256": ""})
    described = plan(runs, data, data.detected, source).describe()
    assert described.startswith(f"{Rows(settings, data.id).parsed.usable:,} rows, about ")
    assert "The time is not known yet" in described
    scores = SimpleNamespace(losses=np.ones(2))
    monkeypatch.setattr("core.chat.forward._scores_of_batch", lambda lanes, texts, top: [scores] * len(texts))
    measure(settings, data, data.detected, source)
    found = read(settings, data, source)
    assert len(found) == Rows(settings, data.id).parsed.usable
    assert all((record["base_loss"], record["tuned_loss"]) == (1, None) for record in found.values())


def test_source_of_run_is_refused_for_rows_that_it_does_not_train_on(home):
    settings, runs, data, run = home
    other = data.model_copy(update={"id": "other"})
    with pytest.raises(StudioError, match=f"trains on the dataset {data.id}, not on other"):
        training_rows(settings, other, data.detected, run)
    changed = data.detected.model_copy(update={"prompt": "Be brief."})
    with pytest.raises(StudioError, match="read in another way"):
        training_rows(settings, data, changed, run)
    with pytest.raises(StudioError, match=r"has no adapter 'step 3'\. It has: final"):
        source_of_run(runs, run, "step 3")
    generating = run.config()
    run.save_config(generating.model_copy(update={"task": "classify"}))
    with pytest.raises(StudioError, match="trains a classifier"):
        source_of_run(runs, run)
    run.save_config(generating)
    before = source_of_run(runs, run)
    (run.adapter / "adapter_config.json").write_text("{}")
    assert source_of_run(runs, run).key != before.key
    path = settings.subsets_dir / "some" / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "0"}))
    with pytest.raises(StudioError, match="has changed since the run"):
        training_rows(settings, data, data.detected, run)


def test_source_of_model_names_the_precision_of_a_new_run(home):
    settings, *_ = home
    source = source_of_model(settings, "tiny", "llama2", 64)
    assert BaseIdentity(*json.loads(source.base)) == BaseIdentity("tiny")
    assert source.describe() == "tiny, template llama2, 64 tokens at most"
    with pytest.raises(StudioError, match="There is no model 'nothing'"):
        source_of_model(settings, "nothing", "auto", 64)


def test_lines_become_one_record_per_row_in_order(tmp_path):
    lines, target = tmp_path / "x.jsonl", tmp_path / "x.parquet"
    writer = LineWriter(lines)
    writer.write([
        make_line(7, BASE_LANE, losses=np.array([1.0, 2.0])), make_line(7, TUNED_LANE, losses=np.array([1.0, 1.0])),
        make_line(2, BASE_LANE, note="refused"), make_line(2, TUNED_LANE, note="refused"),
        make_line(3, BASE_LANE, True, np.array([np.inf])), make_line(3, TUNED_LANE, True, np.array([0.5])),
    ])  # fmt: skip
    writer.close()
    with lines.open("a") as stream:
        stream.write('broken\n{"row": 5')
    assert np.argwhere(read_done(lines, 9, 2)).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1], [7, 0], [7, 1]]
    source = LossSource(base='["tiny"]', max_length=8, run="r", adapter="final")
    write_parquet(lines, target, source, 12.5)
    records = [tuple(record.values()) for record in pq.read_table(target).to_pylist()]
    assert records == [
        (2, None, None, 0, False, "refused"),
        (3, None, 0.5, 1, True, "the model gives no finite loss"),
        (7, 1.5, 1.0, 2, False, None),
    ]
    found = row_losses.summarize(target, source)
    assert (found.rows, found.truncated, found.base, sum(found.classes.values())) == (1, 0, 1.5, 1)
    assert found.missing == {"refused": 1, "the model gives no finite loss": 1}
