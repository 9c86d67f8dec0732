"""The Chat tab in Chromium: streaming, stopping, retrying and voting; reloads and restarts keep the conversation."""

import pytest

from core.data import sources, subset
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from tests.helpers.browser_pages import open_page, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(file_studio):
    """A finished run of the embedded model with a random adapter, so that it answers differently from the base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    subset.ensure_bundled(file_studio)
    made = RunStore(file_studio).create(QLoRAConfig(subset=sources.BUNDLED))
    made.save_state(RunState(status="finished", created=1, ended=2))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(embedded.folder(file_studio), dtype=torch.bfloat16)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            # Small enough that the answers stay words, which the search for training rows needs.
            parameter.data *= 0.1
    adapted.save_pretrained(made.adapter)
    return made


@pytest.fixture
def server(run, file_server):
    return file_server


@pytest.fixture
def page(run, server, chromium):
    made = open_page(chromium, server, "Chat")
    wait_until(lambda: made.locator("#lane-run-2 input").input_value().startswith(run.title), made)
    yield made
    assert made.errors == []
    made.close()


def set_length(page, tokens, **other_settings):
    page.locator("#chat-settings-open").click()
    for name, value in {"max_new_tokens": tokens, **other_settings}.items():
        field = page.locator(f"#chat-field-{name} input").first
        field.fill(str(value))
        field.press("Tab")
    page.keyboard.press("Escape")
    page.locator("#chat-settings").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.id") == "chat-settings-open", "the focus returns"


def ask(page, text):
    page.locator("#prompt textarea").fill(text)
    page.locator("#send").click()


def cards(page, board="now"):
    return page.locator(f"#chat-{board} .lb-card")


def test_conversation_streams_stops_retries_votes_and_survives_restart(page, run, server):
    set_length(page, 1000)
    ask(page, "Write a very long story about a lighthouse and the sea.")
    wait_until(lambda: cards(page).filter(has_text="writing").count() == 2, page)
    assert not page.locator("#send").is_visible(), "Stop is in its place"
    page.locator("#prompt textarea").press("Enter")
    page.locator(".toast-body").get_by_text("still being written").wait_for()
    early = [text.strip() for text in cards(page).locator(".lb-text").all_inner_texts()]
    assert all(early), "both lanes stream at the same time"
    cards(page).nth(0).get_by_role("button", name="Stop").click()
    wait_until(lambda: "stopped" in cards(page).nth(0).inner_text(), page)
    assert "writing" in cards(page).nth(1).inner_text(), "the other lane continues"
    page.keyboard.press("Escape")
    page.locator("#chat-now .lb-vote").wait_for()
    assert page.locator("#send").is_visible()
    stopped = cards(page).nth(0).locator(".lb-text").inner_text()

    set_length(page, 12)
    cards(page).nth(0).get_by_role("button", name="Retry").click()
    cards(page).nth(0).get_by_role("button", name="Earlier attempt (2)").click()
    wait_until(lambda: cards(page).nth(0).locator(".lb-text").inner_text() == stopped, page)

    # Keys vote only while no text field has the focus.
    page.locator("h1").click()
    page.keyboard.press("2")
    page.get_by_text(f"Your vote: the second answer ({run.title} · final).").wait_for()
    page.get_by_role("button", name="Undo vote").click()
    page.locator('#chat-now [data-event="vote"]').first.wait_for()
    page.keyboard.press("3")
    page.get_by_text("Your vote: tie.").wait_for()

    page.locator("#blind input").check()
    ask(page, "And now a color.")
    page.get_by_text("And now a color.").wait_for()
    page.locator('#chat-now [data-event="vote"]').first.wait_for()
    assert cards(page).locator("header").all_inner_texts() == ["Answer A", "Answer B"]
    assert run.title not in page.locator("#chat-now").inner_text()
    page.keyboard.press("1")
    wait_until(lambda: run.title in page.locator("#chat-now").inner_text(), page)

    before = page.locator("#chat-board").inner_text()
    # The address names the tab, so that the page opens in it again.
    page.reload(wait_until="domcontentloaded")
    page.locator("#chat-board").wait_for()
    wait_until(lambda: page.locator("#chat-board").inner_text() == before, page)
    # A page that stays open reloads itself when the server is back, which would abort the navigation below.
    page.goto("about:blank")
    server.kill()
    server.start()
    page.goto(server.url, wait_until="domcontentloaded")
    page.get_by_text("rows 1 to 25 of").wait_for()
    page.get_by_role("tab", name="Chat").click()
    wait_until(lambda: page.locator("#chat-board").inner_text() == before, page)


def test_why_button_opens_a_training_row_in_the_data_tab(page):
    # Greedy, because a sampled answer may end at its first token, and then has no word to search for.
    set_length(page, 40, temperature=0)
    # A suggestion on the empty board is sent at once.
    page.locator("#chat-invite button").first.click()
    page.locator("#chat-now .lb-vote").wait_for()
    assert cards(page).count() == 3, "the reference is a card of its own"
    page.locator('#chat-now [data-event="why"]').click()
    row = page.locator("#why tbody tr").first
    row.wait_for()
    number = row.locator("td").first.inner_text()
    row.click()
    page.locator("#row-title").get_by_text(f"Row {number}").wait_for()


def test_narrow_page_stacks_lanes_without_scrolling_sideways(page):
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("Data", "Train", "Chat", "Evaluate", "Owner"):
        tab = page.get_by_role("tab", name=name, exact=True).bounding_box()
        assert tab["x"] >= 0
        assert tab["x"] + tab["width"] <= 390
        assert tab["height"] >= 40
    set_length(page, 12)
    ask(page, "Name a color.")
    page.locator("#chat-now .lb-vote").wait_for()
    first, second = (cards(page).nth(at).bounding_box() for at in (0, 1))
    assert second["y"] >= first["y"] + first["height"]
    assert first["x"] >= 0
    assert first["x"] + first["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for place in (0, 10_000):
        page.evaluate("place => window.scrollTo(0, place)", place)
        composer = page.locator("#composer").bounding_box()
        assert composer["y"] + composer["height"] <= 844, "always in sight"
    vote = page.locator("#chat-now .lb-vote").bounding_box()
    assert vote["y"] + vote["height"] <= composer["y"], "the end is not covered"
    page.locator("#chat-settings-open").click()
    sheet = page.locator("#chat-settings").bounding_box()
    assert (sheet["x"], sheet["y"], sheet["width"], sheet["height"]) == (0, 0, 390, 844)
    page.keyboard.press("Escape")
