"""Named endpoints over HTTP: wrong calls are rejected with a sentence, and the main ones work."""

from pathlib import Path

import httpx
import pytest
from gradio_client import handle_file

from core.data import subset, table
from core.runs.store import RunStore
from tests.helpers.app_server import AppServer, PageClient, rejection_message

DEFECT = "in the studio itself"


@pytest.fixture(scope="module")
def app(tmp_path_factory, app_fork_server):
    made = AppServer(tmp_path_factory.mktemp("app"), fork_server=app_fork_server)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def client(app, tmp_path_factory):
    made = app.client(tmp_path_factory.mktemp("client"))
    yield made
    made.close()


@pytest.fixture
def fresh(client):
    """Return a client with a new session, which has not chosen a dataset."""
    client.reset_session()
    return client


@pytest.fixture(scope="module")
def page(app):
    made = PageClient(app.url)
    yield made
    made.http.close()


@pytest.fixture
def dataset(app):
    return next(data.id for data in table.opened_datasets(app.settings) if data.source.kind == "bundled")


FORM = {"format": "alpaca", "reasoning": "think", "columns": "", "extra": "", "roles": "", "prompt": "no place for it",
        "labels": "", "placeholders": ""}  # fmt: skip
MISUSES = {
    "/open_file": {"upload": "EMPTY FILE"},
    "/open_hub": {"hub_id": "no hub id", "config": "", "split": "", "revision": "", "token": ""},
    "/open_folder": {"name": "../runs"},
    "/open_subset": {"name": "no-such-subset"},
    "/choose_dataset": {"name": "no-such-data"},
    "/read_as": FORM,
    "/describe_dataset": {},
    "/search_rows": {"text": "x" * 3},
    "/count_tokens": {},
    "/find_near_duplicates": {},
    "/compute_row_losses": {"chosen": "run:no-such-run"},
    "/create_subset": {"name": "x", "rows": 3},
    "/run_recipe": {"upload": "EMPTY FILE", "name": "x"},
    "/create_subset_by_sql": {"sql": "DROP TABLE rows", "name": "x"},
    "/create_quick_subset": {},
    "/export_subset": {"name": "no-such-subset", "form": "llama2", "kinds": ["jsonl"]},
    "/push_subset": {"name": "no-such-subset", "form": "llama2", "repo": "a/b", "token": ""},
    "/push_model": {"run_id": "../runs", "what": "run", "repo": "a/b", "token": ""},
    "/run_sql": {"sql": "SELECT 1"},
    "/start_run": {"subset": "no-such-subset"},
    "/check_run": {"max_length": 0},
    "/dry_run": {"subset": "no-such-subset"},
    "/stop_run": {"run_id": "no-such-run"},
    "/kill_run": {"run_id": "no-such-run"},
    "/resume_run": {"run_id": "no-such-run"},
    "/save_run_label": {"run_id": "no-such-run", "name": "x", "tags": "", "note": ""},
    "/delete_run": {"run_id": "no-such-run", "typed": "no-such-run"},
    "/exclude_row": {"run_id": "no-such-run", "row": None},
    "/start_evaluation": {"upload": None, "prompts": "subset", "subset": "no-such-subset", "lanes": ["base"]},
    "/pause_evaluation": {"evaluation_id": "no-such-evaluation"},
    "/resume_evaluation": {"evaluation_id": "../runs"},
    "/stop_evaluation": {"evaluation_id": None},
    "/open_evaluation": {"evaluation_id": "no-such-evaluation"},
    "/score_evaluation": {"evaluation_id": "no-such-evaluation"},
    "/trace_answers": {"evaluation_id": "../evaluations", "first": "x", "second": "\x00"},
    "/classify_prompts": {"evaluation_id": "no-such-evaluation", "run": "../runs"},
    "/export_run": {"run_id": "../runs", "adapter": "final", "form": "gguf"},
    "/model_card": {"run_id": "no-such-run", "adapter": "final", "form": "gguf"},
    "/verify_run": {"run_id": "../runs"},
    "/check_publish": {"run_id": "no-such-run", "adapter": "final"},
    "/run_benchmarks": {"evaluation_id": "no-such-evaluation", "tasks": "../runs"},
    "/judge_answers": {
        "evaluation_id": "no-such-evaluation",
        "kind": "server",
        "local": None,
        "url": "file:///etc/passwd",
        "model": "m",
        "key": "",
    },
    "/import_adapter": {"upload": None, "source": "../runs", "base": "", "token": ""},
    "/remove_adapter": {"name": "../runs"},
    "/push_evaluation": {"evaluation_id": "no-such-evaluation", "repo": "a/b", "token": ""},
    "/delete_evaluation": {"evaluation_id": "no-such-evaluation", "typed": "no-such-evaluation"},
    "/list_datasets": {},
    "/list_subsets": {},
    "/list_runs": {},
    "/run_events": {"run_id": "no-such-run", "after": 0},
    "/publish": {"runs": ["no-such-run"], "datasets": []},
    "/chat": {"prompt": "Hi.", "lanes": ["no-such-run"], "settings": {}},
}
# Without a dataset a search finds nothing, which is no mistake; lists cannot be misused.
HARMLESS = {"/search_rows", "/list_datasets", "/list_subsets", "/list_runs"}


def test_misuses_cover_every_named_endpoint(client):
    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == set(MISUSES)


@pytest.mark.parametrize("name", MISUSES)
def test_misused_endpoint_refuses_without_a_traceback(app, fresh, tmp_path, name):
    values = dict(MISUSES[name])
    if values.get("upload"):
        (tmp_path / "empty.json").touch()
        values["upload"] = handle_file(str(tmp_path / "empty.json"))
    if name in HARMLESS:
        fresh.predict(api_name=name, **values)
    else:
        message = rejection_message(fresh, api_name=name, **values)
        assert message
        assert "Traceback" not in message
        assert DEFECT not in message
    assert DEFECT not in app.log.read_text()
    assert RunStore(app.settings).runs() == []


@pytest.fixture
def chosen(fresh, dataset):
    """Return a client that has chosen the bundled dataset."""
    fresh.predict(dataset, api_name="/choose_dataset")
    return fresh


FORBIDDEN_SQL = {
    "reading any file": "SELECT * FROM read_text('/etc/passwd')",
    "reading a file of the studio": "SELECT * FROM '{home}/server.log'",
    "COPY": "COPY rows TO '{home}/stolen.csv'",
    "ATTACH": "ATTACH '{home}/stolen.db'",
    "INSTALL": "INSTALL httpfs",
    "SET": "SET enable_external_access = true",
    "a second statement": "SELECT 1; SET threads = 1",
}


@pytest.mark.parametrize("sql", FORBIDDEN_SQL.values(), ids=FORBIDDEN_SQL)
def test_sql_that_is_forbidden_is_refused(app, chosen, sql):
    message = rejection_message(chosen, api_name="/run_sql", sql=sql.format(home=app.settings.home))
    assert "SQL" in message
    assert not list(app.settings.home.glob("stolen*"))


def test_sql_returns_rows_that_can_become_a_subset(app, chosen, dataset):
    shown, words = chosen.predict(sql="SELECT split, count(*) AS n FROM rows GROUP BY split", api_name="/run_sql")
    counted = table.find(app.settings, dataset).splits
    assert (dict(shown["value"]["data"]), words) == (counted, "2 rows")
    chosen.predict(sql="SELECT row FROM rows WHERE row < 7", name="by-sql", api_name="/create_subset_by_sql")
    assert subset.find(app.settings, "by-sql").rows == 6, "of seven, a tenth is held out"


def test_cut_of_more_rows_than_exist_names_the_number(app, chosen):
    assert "asks for 1,000,000 rows" in rejection_message(chosen, api_name="/create_subset", name="many", rows=10**6)
    assert not (app.settings.subsets_dir / "many").exists()


def test_cut_of_a_negative_number_of_rows_is_refused(app, chosen):
    assert "given: -3" in rejection_message(chosen, api_name="/create_subset", name="less", rows=-3)
    assert not (app.settings.subsets_dir / "less").exists()


def test_cut_and_export_write_a_zip(app, chosen):
    cut = chosen.predict(rows=5, method="first", name="five", api_name="/create_subset")
    assert cut[0]["value"] == "five"
    _, download, words = chosen.predict(name="five", form="llama2", kinds=["jsonl"], api_name="/export_subset")
    assert Path(download["value"]).read_bytes()[:2] == b"PK"
    assert "rows written" in words
    assert (app.settings.exports_dir / "five-llama2.zip").is_file()


def test_start_with_a_maximum_length_of_0_is_refused(app, client):
    message = rejection_message(client, api_name="/start_run", max_length=0)
    assert "Maximum length (under" in message
    assert "given: 0" in message
    assert RunStore(app.settings).runs() == []


def test_start_without_a_client_library_is_refused_as_well(app, client, page):
    parameters = client.view_api(return_format="dict", print_info=False)["named_endpoints"]["/start_run"]["parameters"]
    data = [0 if p["parameter_name"] == "max_length" else p["parameter_default"] for p in parameters]
    # A page also sends the places of its states.
    event = next(event for event in page.events if event["api_name"] == "start_run")
    states = [None] * (len(event["inputs"]) - len(data))
    assert "given: 0" in page.call("start_run", *data, *states)["error"]
    for way in ("run/start_run", "api/start_run"):
        answer = httpx.post(f"{app.url}/gradio_api/{way}", json={"data": data, "session_hash": "raw"})
        assert answer.is_error, f"{way} answered {answer.status_code}: {answer.text}"
        assert "/gradio_api/call/start_run" in answer.text
    assert RunStore(app.settings).runs() == []


def test_start_with_a_problem_across_fields_is_refused(app, client):
    assert "all-linear" in rejection_message(client, api_name="/start_run", lora_targets=" , ")
    assert RunStore(app.settings).runs() == []


def test_open_file_with_hostile_rows_returns_them_as_text(fresh, tmp_path):
    (tmp_path / "b.jsonl").write_text('{"instruction": "<img src=x onerror=alert(1)>", "output": "y"}\n')
    *_, opened = fresh.predict(upload=handle_file(str(tmp_path / "b.jsonl")), api_name="/open_file")
    fresh.predict(opened["value"], api_name="/choose_dataset")
    shown, _ = fresh.predict(sql="SELECT prompt FROM rows", api_name="/run_sql")
    assert shown["value"]["data"] == [["<img src=x onerror=alert(1)>"]]


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "{home}/server.log", "{home}/exports/../server.log"])
def test_file_outside_the_exports_is_not_served(app, path):
    answer = httpx.get(f"{app.url}/gradio_api/file={path.format(home=app.settings.home)}")
    assert answer.status_code in (403, 404)
