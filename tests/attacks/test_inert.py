"""Markup in rows, names, notes and answers: shown as text by whatever part of the page shows HTML or Markdown."""

import json

import pytest
from on_a_space import AUTHOR, signed_in
from served import Page

MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>[a](javascript:alert(3))![b](http://evil.example/b.png)"
SHOWS = ("html", "markdown")


@pytest.fixture(scope="module")
def owner(on_space):
    made = Page(on_space.url, signed_in(AUTHOR))
    yield made
    made.http.close()


def shown(page: Page, event: dict, data: list) -> list[tuple[str, str]]:
    """What an event put into parts of the page that show markup."""
    answer = page.run(event, data)
    assert answer["success"], answer["output"]
    kinds = {c["id"]: c["type"] for c in page.config["components"]}
    values = zip(event["outputs"], answer["output"]["data"], strict=False)
    texts = [(kinds[number], value["value"] if isinstance(value, dict) and "value" in value else value)
             for number, value in values if kinds[number] in SHOWS]  # fmt: skip
    return [(kind, text) for kind, text in texts if isinstance(text, str)]


def assert_inert(texts: list[tuple[str, str]]) -> None:
    for kind, text in texts:
        links = ("](javascript", "](http://evil") if kind == "markdown" else ()
        for sign in ("<img src=x", "<script", *links):
            assert sign not in text, text[:500]


def test_a_row_is_text(on_space, owner, tmp_path):
    row = {"instruction": f"ask {MARKUP}", "output": f"say {MARKUP}"}
    path = tmp_path / "markup.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with path.open("rb") as stream:
        uploaded = owner.http.post("/upload", files={"files": ("markup.jsonl", stream)}).json()[0]
    opened = owner.call("open_file", {"path": uploaded, "meta": {"_type": "gradio.FileData"}})["data"][-1]["value"]
    owner.call("choose", opened, None)
    events = {event["api_name"]: event for event in owner.events}
    texts = shown(owner, events["turned_1"], [None, None, None, 1, 25])
    assert any("onerror" in text for _, text in texts), "the row is there"
    assert_inert(texts)
    for view in ("Conversation", "Raw"):
        owner.run(events["handler_4"], [None], {"value": 0})
        assert_inert(shown(owner, events["row"], [None, None, view]))
    assert_inert(shown(owner, events["described"], [None]))


def test_a_run_s_name_and_note_are_text(on_space, owner):
    said = owner.call("save_label", "hidden-run", MARKUP[:100], MARKUP[:20], MARKUP, False, False)
    assert not said.get("error"), said
    events = {event["api_name"]: event for event in owner.events}
    assert_inert(shown(owner, events["opened_1"], ["hidden-run", "tokens/s"]))
    assert_inert(shown(owner, events["shown_2"], [None, "loss", "hidden-run", True, True]))


def test_what_a_refusal_quotes_is_text(on_space, owner):
    for name in ("stop", "kill"):
        said = owner.call(name, MARKUP)["error"]
        assert "<img" not in said
        assert "&lt;img" in said
