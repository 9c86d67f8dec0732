import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gradio.routes import BUILD_PATH_LIB

from studio.early_script import with_early_script
from studio.html import read_static

PAGE = b"<!doctype html><html><head><meta charset='utf-8'><script src='a.js'></script></head></html>"
# Asks a page's script which of some callbacks it passes on to the browser's next frame.
_HARNESS = """
globalThis.window = {requestAnimationFrame: () => 'frame'};
globalThis.setTimeout = (callback, milliseconds) => milliseconds;
%s
const [W, F, w] = [true, () => {}, () => 0], ze = () => {};
const clock = %s;
console.log(JSON.stringify([clock, () => {}, function draw() { F(performance.now()); }].map(
  callback => window.requestAnimationFrame(callback))));
"""


def test_with_early_script_comes_before_every_script_of_the_page():
    made = with_early_script(PAGE)
    assert made.index(b"requestAnimationFrame") < made.index(b"a.js")
    assert made.count(b"<head>") == 1
    assert with_early_script(b"Not found") == b"Not found"


def test_timer_of_toasts_is_known_in_this_version_of_gradio():
    (pattern,) = re.findall(r"/(\\\.forEach.+)/\.test", read_static("toasts.js"))
    (source,) = Path(BUILD_PATH_LIB).glob("statustracker-*.js")
    (timer,) = re.findall(r"setTimeout\((\w+),\w+\(\w+\)\.duration\*1e3\)", source.read_text())
    (body,) = re.findall(rf"function {timer}\(\)(\{{.+?\}}\)\}})", source.read_text())
    assert re.search(pattern, body)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
def test_slow_clock_lets_only_the_clocks_of_gradio_wait():
    # The clock as this version of Gradio has it: another version may need another pattern.
    (source,) = Path(BUILD_PATH_LIB).glob("statustracker-*.js")
    (clock,) = re.findall(r"\(\)=>\{[^{}]*performance\.now\(\)[^{}]*&&\w+\(\)\}", source.read_text())
    script = _HARNESS % (read_static("slow_clock.js"), clock)
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1000, "frame", "frame"]


# An upload of 8 MiB: what its words show at shares of it, at seconds since it began.
_UPLOAD = """
let update, now = 0, share = 'none';
const heard = {}, words = {dataset: {}};
globalThis.performance.now = () => now * 1000;
globalThis.window = {addEventListener: (name, heed) => { heard[name] = heed; }};
globalThis.document = {
  documentElement: {style: {getPropertyValue: () => share}}, querySelectorAll: () => [words],
};
globalThis.MutationObserver = class { constructor(notice) { update = notice; } observe() {} };
%s
update();
const before = {...words.dataset};
heard.change({target: {files: [{size: 2 ** 21}, {size: 3 * 2 ** 21}]}});
heard.change({target: {}});
const shown = [[0, 0], [0.5, 25], [2, 25], [300, 50], [9, 100]].map(([at, percent]) => {
  [now, share] = [at, `${percent}.00%%`];
  update();
  return words.dataset.uploaded;
});
console.log(JSON.stringify([before, shown]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed here")
def test_upload_progress_shows_bytes_and_time_left():
    script = _UPLOAD % read_static("upload_progress.js")
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        {},
        [
            "0.0 of 8.0 MiB", "2.0 of 8.0 MiB", "2.0 of 8.0 MiB, about 6 s left", "4.0 of 8.0 MiB, about 5 min left",
            "8.0 of 8.0 MiB",
        ],
    ]  # fmt: skip


def test_upload_progress_reads_the_names_of_this_version_of_gradio():
    sources = [path.read_text(errors="replace") for path in Path(BUILD_PATH_LIB).glob("src-*.js")]
    (upload,) = [text for text in sources if "upload_progress?upload_id=" in text]
    assert "--upload-progress-width" in upload
    assert 'class="uploading ' in upload
