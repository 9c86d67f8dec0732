"""Values in templates are escaped, and a missing one is an error."""

import jinja2
import pytest
from hypothesis import given

from components.templates import Templates
from tests.helpers.hostile_text import TEXT, Page


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("templates")
    (folder / "one.html").write_text('<p title="{{ text }}">{{ text }}</p>')
    return Templates(folder)


@given(TEXT)
def test_render_hostile_text_stays_text(templates, text):
    page = Page(templates.render("one", text=text))
    assert [tag for tag, _ in page.tags] == ["p"]


def test_render_html_of_a_template_is_not_escaped_again(templates):
    inner = templates.render("one", text="x")
    assert templates.render("one", text=inner).count("<p") == 3


def test_render_missing_value_raises(templates):
    with pytest.raises(jinja2.UndefinedError):
        templates.render("one")
