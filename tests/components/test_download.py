"""The download button: a click makes the file before the browser fetches it."""

import gradio as gr

from components.download import build_download


def test_download_click_makes_the_file_and_clicks_the_hidden_button():
    with gr.Blocks() as demo:
        download = build_download("Save", "save")
        download.makes(lambda: "/tmp/file", None)
    make, click = demo.fns.values()
    assert make.targets == [(download.button._id, "click")]
    assert [output._id for output in make.outputs] == [download.hidden_button._id]
    assert "getElementById('save-file').click()" in click.js
    assert click.fn is None
