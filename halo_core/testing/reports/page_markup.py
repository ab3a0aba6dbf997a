"""Reads a page of a report: its text, the elements on it, and what it loads from elsewhere."""

from __future__ import annotations

import codecs
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

HTML = (".html", ".htm", ".xhtml")
XML = (".svg", ".xml", ".xhtml")
TEXTS = (*HTML, *XML, ".csv", ".json", ".jsonl", ".md", ".rst", ".tex", ".tsv", ".txt", ".yaml")
"""Ends of the names of files that contain text, for which UTF-8 is expected."""

_LOADS = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
}
"""Attributes whose file a browser loads when it shows the page."""

_SIZES = ("width", "height", "r", "rx", "ry")
_STYLED = re.compile(r"""(?:url\(\s*|@import\s+(?!url))["']?([^"')\s]+)""")
_ELSEWHERE = re.compile(r"(?:[a-z][a-z0-9+.-]*:|//|/)", re.IGNORECASE)
_UTF_8 = re.compile(r"""(?:charset|encoding)\s*=\s*["']?utf-?8""", re.IGNORECASE)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


class Markup(HTMLParser):
    """The elements of a page.

    Attributes:
        names: Names of elements and attributes.
        negative: Widths and heights below 0, which a browser does not draw.
        loads: Addresses outside of the page's folder that a browser loads.
        shown: The text that a browser shows.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: set[str] = set()
        self.negative: list[str] = []
        self.loads: list[str] = []
        self.shown = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes an element and its attributes."""
        self._inside = tag
        self.names |= {tag, *(name for name, _ in attrs)}
        given = {name: value or "" for name, value in attrs}
        self.negative += [
            f'<{tag} {name}="{given[name]}">'
            for name in _SIZES
            if given.get(name, "").startswith("-")
        ]
        if tag == "link" and not {"stylesheet", "icon", "preload"} & {
            *given.get("rel", "").split()
        }:
            given.pop("href", None)  # It says where the page or its author is.
        for name in _LOADS.get(tag, ()):
            self._note(given.get(name, ""))
        self._note_style(given.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        """Takes the end of an element."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Takes a text."""
        if self._inside == "style":
            self._note_style(data)
        elif self._inside != "script":
            self.shown += data

    def _note_style(self, text: str) -> None:
        for address in _STYLED.findall(text):
            self._note(address)

    def _note(self, address: str) -> None:
        if _ELSEWHERE.match(address) and not address.lower().startswith(("data:", "about:")):
            self.loads.append(address)


def text_of(page: Path) -> str | None:
    """Returns the text of a page; None if it is a file of another kind.

    Args:
        page: The file. A mark at its beginning may say UTF-16.

    Raises:
        UnicodeDecodeError: When it is not in UTF-8.
    """
    if page.suffix.lower() not in TEXTS:
        return None
    content = page.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8")


def says_utf_8(page: Path, text: str) -> bool:
    """Returns whether a file in UTF-16 says that it is UTF-8."""
    marked = page.read_bytes().startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return marked and bool(_UTF_8.search(text[:1024]))


def is_html(page: Path) -> bool:
    """Returns whether a browser shows a file as HTML, by its name."""
    return page.suffix.lower() in HTML


def is_drawn(page: Path) -> bool:
    """Returns whether a browser draws a file, by its name."""
    return page.suffix.lower() in (*HTML, ".svg")


def fault_of_xml(page: Path, text: str) -> str:
    """Returns what is wrong with the markup of a file that is XML by its name; "" if nothing is."""
    if page.suffix.lower() not in XML:
        return ""
    try:
        ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return str(error)
    return ""


def has_word(text: str, word: str) -> bool:
    """Returns whether a text has a word as it is, or with the escapes of HTML or JSON."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return word in unescape(plain)


__all__ = ["Markup", "fault_of_xml", "has_word", "is_drawn", "is_html", "says_utf_8", "text_of"]
