"""What a page of rendered Markdown is made of, and that nothing in it acts."""

import re
from html.parser import HTMLParser

ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "div": {"class", "data-language", "tabindex"},
    "pre": {"tabindex"},
    "code": {"class"},
    "span": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
ALLOWED |= {name: set() for name in ("blockquote", "br", "em", "hr", "li", "p", "s", "strong", "ul")}
ALLOWED |= {name: set() for name in ("table", "tbody", "thead", "tr", "h1", "h2", "h3", "h4", "h5", "h6")}
VOID = {"br", "hr"}


class Outline(HTMLParser):
    """Reads HTML as a browser would: every start tag with its attributes, the text, and whether tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.odd: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.odd += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.odd.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.odd.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.odd.append(decl)

    def links(self) -> list[str | None]:
        return [attrs.get("href") for tag, attrs in self.tags if tag == "a"]


def assert_inert(html: str) -> Outline:
    """Only the tags and attributes that the renderer makes, links only to where they may go."""
    outline = Outline(html)
    assert outline.odd == []
    for tag, attrs in outline.tags:
        assert tag in ALLOWED, tag
        assert set(attrs) <= ALLOWED[tag], (tag, attrs)
        if "href" in attrs:
            assert re.fullmatch(r"(https?://|mailto:)[^\s]+", attrs["href"] or "", re.IGNORECASE), attrs
            assert attrs["target"] == "_blank"
            assert set((attrs["rel"] or "").split()) == {"noopener", "noreferrer", "nofollow", "ugc"}
    return outline
