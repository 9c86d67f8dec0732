import json

import gradio as gr

from components.chart import Curve, build_chart, chart_value


def test_what_is_drawn_is_json_in_the_order_given():
    value = chart_value("loss", [Curve("a", "#fff", [(1, 2, 3.0, 4.0)]), Curve("b", "#000", [], dashed=True)])
    assert json.loads(json.dumps(value)) == {
        "title": "loss",
        "series": [
            {"name": "a", "colour": "#fff", "dashed": False, "points": [[1, 2, 3.0, 4.0]]},
            {"name": "b", "colour": "#000", "dashed": True, "points": []},
        ],
    }


def test_a_chart_has_its_events():
    with gr.Blocks():
        chart = build_chart("x", 200)
        assert callable(chart.zoomed)
        assert callable(chart.picked)
    assert 'data-height="200"' in chart.html_template
