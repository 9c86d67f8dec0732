"""The tags and attributes that a data table's HTML may hold, and a parser that takes its inputs."""

from tests.helpers.hostile_text import ParsedHtml

ATTRIBUTES = {
    "class", "data-event", "data-value", "title", "aria-label", "tabindex", "style", "dir", "type", "checked", "role",
    "colspan", "disabled", "data-title",
}  # fmt: skip
TAGS = {"div", "table", "thead", "tbody", "tr", "th", "td", "button", "i", "small", "input", "mark"}


class Lenient(ParsedHtml):
    """Parser of HTML whose <input> tags, as usual, are not closed."""

    def handle_starttag(self, tag, attrs):
        super().handle_starttag(tag, attrs)
        if tag == "input":
            self.open.pop()
