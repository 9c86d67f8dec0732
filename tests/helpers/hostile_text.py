"""Texts that would become markup if a page did not escape them, and a parser that finds markup in HTML."""

import html.parser
import re

from hypothesis import strategies as st
from markdown_it import MarkdownIt

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "[click](javascript:alert(1)) ![x](http://host/x.png)",
    "</div></div><iframe srcdoc='&lt;script&gt;'>",
    "<!-- comment --> <![CDATA[x]]> <?php ?> &lt;b&gt; &#60;b&#62; &amp",
    "${alert(1)} {{#each value}} `x`",
    "مرحبا\n\tline two\r\n 🎈",
]
# A column's name: it ends code, makes a link and a picture, and hides a tag in a formula.
COLUMN = (
    "x` <i onclick=alert(5)>![c](http://evil.example/c.png) [a](http://evil.example) "
    "$$<a href='http://evil.example'>$$ http://evil.example www.evil.example me@evil.example `y"
)
_FORMULA = re.compile(r"\$\$[\s\S]+?\$\$")
TEXT = st.one_of(st.text(), st.sampled_from(HOSTILE), st.tuples(st.text(), st.sampled_from(HOSTILE)).map("".join))


def markdown_html(text: str) -> str:
    """Render Markdown as Gradio's page does: formulas are taken out before, and put back unescaped."""
    formulas = _FORMULA.findall(text)
    shown = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(_FORMULA.sub("FORMULA", text))
    for formula in formulas:
        shown = shown.replace("FORMULA", formula, 1)
    return shown


class ParsedHtml(html.parser.HTMLParser):
    """HTML as a browser reads it.

    Attributes:
        tags: Names and attributes, in order.
        text: The text, character references resolved.
        open: Tags that are not closed.
        other: Comments, declarations and processing instructions.
    """

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open, self.other = "", [], []
        # A Markup would escape the pieces that the parser cuts out of it.
        self.feed(str(source))
        self.close()
        assert not self.open, "every tag is closed"
        assert not self.other, "no comment, declaration or instruction"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment
