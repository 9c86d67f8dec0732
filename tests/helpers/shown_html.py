"""The text of some HTML, and whether it has other tags than those of a run's view."""

import html.parser

OWN_TAGS = {"div", "span", "i", "b", "small", "ul", "li", "p"}


def tags_of(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(shown)
    parser.close()
    return found


def assert_inert(shown):
    tags = tags_of(shown)
    assert {tag for tag, _ in tags} <= OWN_TAGS
    assert {name for _, attrs in tags for name in attrs} <= {
        "class", "data-since", "data-age", "role", "style",
        "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label", "dir"
    }  # fmt: skip


def shown_text(shown):
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_data = found.append
    parser.feed(shown)
    parser.close()
    return " ".join(found)
