"""The text of some HTML, and whether it has other tags than those of a run's view."""

import html.parser

OWN_TAGS = {"div", "span", "i", "b", "small", "ul", "li", "p"}


def tags_of(shown):
    """Return the tags of some HTML with their attributes."""
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))
    parser.feed(shown)
    parser.close()
    return found


def assert_inert(shown):
    """Check that some HTML has only the tags and attributes of a run's view: no text in it became markup."""
    tags = tags_of(shown)
    assert {tag for tag, _ in tags} <= OWN_TAGS
    assert {name for _, attrs in tags for name in attrs} <= {
        "class", "data-since", "data-age", "role", "style",
        "aria-valuenow", "aria-valuemin", "aria-valuemax", "aria-label", "dir"
    }  # fmt: skip


def shown_text(shown):
    """Return the text of some HTML."""
    found = []
    parser = html.parser.HTMLParser()
    parser.handle_data = found.append
    parser.feed(shown)
    parser.close()
    return " ".join(found)
