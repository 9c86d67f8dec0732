"""Markup in rows, columns, names, notes, samples and answers stays text wherever the page shows HTML or Markdown.

Every event that fills such a part is called, and its output is parsed as a browser would.
"""

import html.parser
import json
from urllib.parse import urlsplit

import pytest

from core.chat import conversation
from core.chat.types import GenerationResult
from core.data import sources
from core.evaluate.config import EvaluationConfig
from core.evaluate.line_file import LineWriter
from core.evaluate.store import EvaluationStore
from core.runs.store import RunStore
from tests.helpers.app_server import PageClient
from tests.helpers.hostile_text import COLUMN, markdown_html
from tests.helpers.run_events import write
from tests.helpers.space_server import AUTHOR, signed_in_headers

ELSEWHERE = "http://evil.example"
MARKUP = (
    f'"></td></div><img src=x onerror=alert(1)><script>alert(2)</script><a href="{ELSEWHERE}">b</a> '
    f"[a](javascript:alert(3))![b]({ELSEWHERE}/b.png)<svg/onload=alert(4)>"
)
# For fields of at most 100 characters.
SHORT = "<img src=x onerror=alert(1)>"
RUN = "hidden-run"
TAGS = {"script", "img", "iframe", "object", "embed", "link", "meta", "base", "form", "video", "audio", "style", "i"}
HEAVY = {
    "dry_run", "check_run", "start_run", "resume_run", "send", "retry", "retry_one", "continue_answer",
    "create_quick_subset", "push_subset",
}  # fmt: skip
# Parts in which the markup must appear; otherwise the test has checked nothing.
MET = {"rows", "row-shown", "run-label", "samples", "runs-table", "chat-past", "chat-now", "evaluate-table",
       "evaluate-prompt", "sql-columns", "run-log", "help of reading-field-columns"}  # fmt: skip


class Browser(html.parser.HTMLParser):
    """Parser that collects tags that would load, run or link to something."""

    def __init__(self):
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        # The filled part of a bar is an <i> with a style.
        bar = tag == "i" and set(given) <= {"style", "class"}
        leads = [given[name] for name in ("href", "src", "srcset", "action", "formaction", "poster") if name in given]
        away = any(urlsplit(url).scheme or url.startswith("//") for url in leads)
        runs = any(name.startswith("on") for name in given) or "url(" in given.get("style", "")
        if away or runs or (tag in TAGS and not bar):
            self.bad.append(self.get_starttag_text())


def assert_inert(kind: str, text: str) -> None:
    if kind == "markdown":
        text = markdown_html(text)
    browser = Browser()
    browser.feed(text)
    assert not browser.bad, (browser.bad, text[:800])


@pytest.fixture(scope="module")
def owner(on_space):
    made = PageClient(on_space.url, signed_in_headers(AUTHOR))
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def marked(on_space, owner, tmp_path_factory):
    """Create hostile text of every kind, and return values of the page's controls by their ids."""
    settings = on_space.settings
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text(json.dumps({"instruction": f"ask {MARKUP}", "output": f"say {MARKUP}", COLUMN: MARKUP}) + "\n")
    data = sources.open_file(settings, path)
    run = RunStore(settings).run(RUN)
    run.log.write_text(MARKUP)
    write(run, [{"event": "sample", "step": 1, "prompts": [MARKUP], "answers": [MARKUP]}])
    answer = owner.call("save_run_label", RUN, SHORT, SHORT[:20], MARKUP, False, False)
    assert not answer.get("error"), answer
    chat = conversation.new_conversation()
    for _ in range(2):
        turn = chat.ask(MARKUP)
        turn.answers[0] = [GenerationResult(text=MARKUP, note=MARKUP, pieces=[MARKUP], ids=[1], logprobs=[-1.0])]
    conversation.save(settings, chat)
    evaluation = EvaluationStore(settings).create(EvaluationConfig(subset="keeper", lanes=["base"], limit=1))
    writer = LineWriter(evaluation.answers_file)
    writer.write([{"prompt": 0, "lane": 0, "text": MARKUP, "tokens": 2, "end": "end", "note": MARKUP, "exact": False,
                   "f1": 0.5}])  # fmt: skip
    writer.close()
    return {"dataset": data.id, "run": RUN, "my-chats": json.dumps([chat.id]), "evaluation": evaluation.id,
            "subset": "keeper", "compare-with": "keeper", "samples-at": 1, "prompt": MARKUP}  # fmt: skip


def shown(page: PageClient, event: dict, values: dict[str, object], happened: dict | None = None) -> dict[str, str]:
    """Return the HTML and Markdown outputs of an event by their ids; empty if it was refused.

    The help below a field's label is Markdown, too.
    """
    parts = {c["id"]: c for c in page.config["components"]}
    data = [values.get(parts[n]["props"].get("elem_id"), parts[n]["props"].get("value")) for n in event["inputs"]]
    answer = page.run(event, data, happened)
    found = {}
    if not answer["success"]:
        # A toast shows HTML.
        assert_inert("html", str(answer["output"].get("error") or ""))
        return found
    for number, value in zip(event["outputs"], answer["output"]["data"], strict=False):
        text = value.get("value") if isinstance(value, dict) else value
        kind, name = parts[number]["type"], parts[number]["props"].get("elem_id")
        if isinstance(value, dict) and isinstance(help := value.get("info"), str):
            assert_inert("markdown", help)
            found[f"help of {name}"] = help
        if kind in ("html", "markdown") and isinstance(text, str):
            assert_inert(kind, text)
            found[name] = text
    return found


def test_hostile_data_is_shown_as_text_everywhere(owner, marked):
    kinds = {c["id"]: c["type"] for c in owner.config["components"] if c["props"].get("elem_id")}
    by_name = {event["api_name"]: event for event in owner.events}
    shown(owner, by_name["choose_dataset"], marked)
    opens = [e for e in owner.events if ("open_row" in {kind for _, kind in e["targets"]}) and e["backend_fn"]]
    # Open the chat and the row in this session.
    for event in [by_name["open_chat"], *opens]:
        shown(owner, event, marked, {"value": 0})
    shown(owner, by_name["select_view"], marked, {"index": 1, "value": "All runs"})
    filling = [e for e in owner.events if e["backend_fn"] and e["api_name"] not in HEAVY
               and any(kinds.get(n) in ("html", "markdown") for n in e["outputs"])]  # fmt: skip
    assert len(filling) > 60
    met = set()
    for event in filling:
        met |= {name for name, text in shown(owner, event, marked).items() if "alert(" in text or "evil" in text}
    for view in ("Conversation", "Raw"):
        met |= shown(owner, by_name["show_row"], marked | {"row-view": view}).keys()
    for event in opens:
        met |= {name for name, text in shown(owner, event, marked, {"value": 0}).items() if "alert(" in text}
    assert met >= MET, MET - met


@pytest.mark.parametrize("kind", ["html", "markdown"])
def test_assert_inert_finds_unescaped_markup(kind):
    with pytest.raises(AssertionError, match="onerror"):
        assert_inert(kind, f"x {MARKUP}")


def test_refusal_quotes_hostile_text_as_text(owner):
    for name in ("stop_run", "kill_run"):
        error = owner.call(name, MARKUP)["error"]
        assert_inert("html", error)
        assert "&lt;img" in error


def test_dataframes_and_markdown_show_text_only(owner):
    """Gradio renders the cells of a table as text unless their datatype is HTML or Markdown."""
    for part in owner.config["components"]:
        if part["type"] == "dataframe":
            assert set(part["props"]["datatype"]) <= {"str", "number"} or part["props"]["datatype"] in ("str", "number")
        if part["type"] == "markdown":
            assert part["props"]["sanitize_html"]
