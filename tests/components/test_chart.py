"""The line chart: its value as JSON, its events and its height."""

import json
import shutil
import subprocess

import gradio as gr
import pytest

from components.chart import _JS, Curve, build_chart, chart_value

# A document of which the script reads nothing, except the button "show all".
DOCUMENT = """
const nothing = new Proxy(function () {}, {
  get: (_, name) => name === Symbol.toPrimitive ? () => 0 : name === 'length' ? 0 : nothing,
  set: () => true, apply: () => nothing,
});
const document = nothing, reset = {}, handlers = {}, events = [];
const getComputedStyle = () => nothing, ResizeObserver = class { observe() {} };
const element = {
  querySelector: selector => selector === '.ch-reset' ? reset : nothing,
  addEventListener: (name, handler) => { handlers[name] = handler; },
  clientWidth: 600,
};
const points = steps => [{name: 'loss', color: '', points: steps.map(step => [step, step * 10, step, 1])}];
const props = {value: {title: 'loss', series: points([1, 2, 3, 4]), zoomed: false}};
let watcher;
const watch = (_, changed) => { watcher = changed; };
const trigger = (name, data) => events.push([name, data.low, data.high]);
const receive = (steps, zoomed) => { props.value = {title: 'loss', series: points(steps), zoomed}; watcher(); };
const choose = axis => handlers.input({target: {name: 'axis', value: axis}});
const print = () => console.log(JSON.stringify([events, !reset.hidden]));
"""


def test_chart_value_is_json_in_the_given_order():
    value = chart_value("loss", [Curve("a", "#fff", [(1, 2, 3.0, 4.0)]), Curve("b", "#000", [], dashed=True)])
    assert json.loads(json.dumps(value)) == {
        "title": "loss",
        "series": [
            {"name": "a", "color": "#fff", "dashed": False, "points": [[1, 2, 3.0, 4.0]]},
            {"name": "b", "color": "#000", "dashed": True, "points": []},
        ],
        "zoomed": False,
        "empty": "No points yet.",
    }


def test_build_chart_handlers_of_its_events_are_registered():
    with gr.Blocks() as demo:
        chart = build_chart("x", 200)
        for event in (chart.zoomed, chart.picked):
            event(lambda: None, None, None)
    assert [kind for fn in demo.fns.values() for _, kind in fn.targets] == ["zoomed", "picked"]
    for kind in ("zoomed", "picked"):
        assert f"trigger('{kind}'" in chart.js_on_load, "the script sends the event"


def test_build_chart_sets_its_height():
    with gr.Blocks():
        chart = build_chart("x", 200)
    assert 'data-height="200"' in chart.html_template


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
@pytest.mark.parametrize(("actions", "events", "offers_to_show_all"), [
    ("choose('tokens')", [], False),
    ("zoom([2, 3], curves())", [["zoomed", 2, 3]], True),
    ("zoom([2, 3], curves()); choose('tokens')", [["zoomed", 2, 3], ["zoomed", None, None]], False),
    ("zoom([2, 3], curves()); receive([2, 3], true); choose('seconds'); receive([1, 2, 3, 4], false)",
     [["zoomed", 2, 3], ["zoomed", None, None]], False),
    # Another chart of the same steps was zoomed: this one shows the part, too.
    ("receive([2, 3], true)", [], True),
    ("receive([2, 3], true); choose('tokens')", [["zoomed", None, None]], True),
    ("receive([2, 3], true); handlers.click({target: {closest: name => name === '.ch-reset'}})",
     [["zoomed", None, None]], True),
    # A poll under way when the zoom was sent does not end it, but another run does.
    ("zoom([2, 3], curves()); receive([1, 2, 3, 4, 5], false)", [["zoomed", 2, 3]], True),
    ("zoom([2, 3], curves()); receive([2, 3], true); receive([7, 8], false)", [["zoomed", 2, 3]], False),
])  # fmt: skip
def test_chart_zoom_of_browser_and_server_agree(actions, events, offers_to_show_all):
    """Otherwise the server sends a part of the curves for good, and nothing on the page shows all again."""
    script = f"{DOCUMENT}\n{_JS}\n{actions}; print();"
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True)
    assert not done.stderr
    assert json.loads(done.stdout) == [events, offers_to_show_all]


# Ranges of an axis: of losses, learning rates, steps, tokens and seconds, wide and narrow.
TICKS = """
let seed = 1;
const random = () => (seed = seed * 48271 % 2147483647) / 2147483647;
const bad = [];
for (let round = 0; round < 3000; round++) {
  const low = (random() < 0.2 ? 0 : 10 ** (random() * 14 - 8)) * (random() < 0.1 ? -1 : 1);
  const high = low + Math.abs(low || 1) * 10 ** (random() * 9 - 6), most = 3 + Math.floor(random() * 12);
  for (const log of low > 0 ? [false, true] : [false])
    for (const whole of [false, true]) {
      const found = ticks(low, high, log, most, whole);
      const isWhole = found.every(v => !whole || Number.isInteger(v));
      for (const format of [formatNumber, formatDuration]) {
        const texts = labels(found, format);
        if (new Set(texts).size !== texts.length || !isWhole) bad.push([low, high, log, most, whole, texts]);
      }
    }
}
const numbers = [ticks(0, 2, false, 8, true), [4.01, 4.02], [10000, 10010], [1e-4, 1.05e-4]];
const known = [...numbers.map(one => labels(one, formatNumber)), labels([60, 90, 120], formatDuration)];
console.log(JSON.stringify([bad.slice(0, 3), known]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
def test_chart_tick_labels_never_repeat_and_steps_are_whole():
    done = subprocess.run(["node", "-"], input=f"{DOCUMENT}\n{_JS}\n{TICKS}", capture_output=True, text=True)
    assert not done.stderr
    bad, known = json.loads(done.stdout)
    assert bad == []
    assert known == [
        ["0", "1", "2"], ["4.01", "4.02"], ["10k", "10.01k"], ["1e-4", "1.05e-4"],
        ["1 min 0 s", "1 min 30 s", "2 min 0 s"],
    ]  # fmt: skip
