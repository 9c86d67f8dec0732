"""The line chart: its value as JSON, its events and its height."""

import json

import gradio as gr

from components.chart import Curve, build_chart, chart_value


def test_chart_value_is_json_in_the_given_order():
    value = chart_value("loss", [Curve("a", "#fff", [(1, 2, 3.0, 4.0)]), Curve("b", "#000", [], dashed=True)])
    assert json.loads(json.dumps(value)) == {
        "title": "loss",
        "series": [
            {"name": "a", "color": "#fff", "dashed": False, "points": [[1, 2, 3.0, 4.0]]},
            {"name": "b", "color": "#000", "dashed": True, "points": []},
        ],
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
