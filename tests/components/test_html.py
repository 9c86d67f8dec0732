"""Tests of the templates: values are escaped, a missing one is an error."""

import jinja2
import pytest
from hypothesis import given

from components.html import PageFiles
from tests.helpers.hostile_text import TEXT, ParsedHtml


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    (folder / "templates").mkdir()
    (folder / "templates" / "one.html").write_text('<p title="{{ text }}">{{ text }}</p>')
    (folder / "static").mkdir()
    (folder / "static" / "one.css").write_text("p { margin: 0; }")
    return PageFiles(folder)


@given(TEXT)
def test_render_hostile_text_stays_text(files, text):
    page = ParsedHtml(files.render("one", text=text))
    assert [tag for tag, _ in page.tags] == ["p"]


def test_render_html_of_a_template_is_not_escaped_again(files):
    inner = files.render("one", text="x")
    assert files.render("one", text=inner).count("<p") == 3


def test_render_missing_value_raises(files):
    with pytest.raises(jinja2.UndefinedError, match="'text' is undefined"):
        files.render("one")


def test_read_static_returns_the_text_of_the_file(files):
    assert files.read_static("one.css") == "p { margin: 0; }"
