"""The parts of a page: questions with answers, ranges, figures, tables, samples and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from halo_core.feedback import Prompt
from halo_report.figures.plot import Plot
from halo_report.pages.word_marks import Piece
from halo_statistics.win_rate import Result


@dataclass(frozen=True)
class TableView:
    """A table under a figure.

    Attributes:
        title: The table's title. A click on it unfolds a folded table.
        header: Titles of the columns.
        rows: Rows with one text for each title.
        texts: Number of leading columns that are text. The others are numbers.
        folded: Whether the reader must unfold the table to see it.
        note: Note on how to read the table, or "".
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class Range:
    """A number with its interval, in a row of its own.

    Attributes:
        label: Name of the row.
        middle: The number, drawn as a dot.
        low: Lower end of the thin line.
        high: Upper end of the thin line.
        text: The number as readers see it.
        inner: Ends of the thick line, or None.
        second: A further number on the same scale with the ends of its interval, drawn as a hollow
            diamond, or None.
        note: A text below the number, or "".
        colour: Colour of the row, as ``#rrggbb``.
    """

    label: str
    middle: float
    low: float
    high: float
    text: str
    inner: tuple[float, float] | None = None
    second: tuple[float, float, float] | None = None
    note: str = ""
    colour: str = "#0072b2"


@dataclass(frozen=True)
class Ranges:
    """Rows of ranges on one scale, from top to bottom.

    Attributes:
        rows: The rows.
        end: The number at the right end of the scale; the left end is 0.
        line: A number with a vertical line, or None.
        marks: Texts below the scale by their numbers.
        legend: A sentence that says what dots, lines and diamonds are.
    """

    rows: Sequence[Range]
    end: float
    line: float | None
    marks: Mapping[float, str]
    legend: str

    def at(self, value: float) -> str:
        """Returns the place of a number on the scale as a percentage, between 0 and 100."""
        return f"{100 * min(1.0, max(0.0, value / self.end)) if self.end else 0:.2f}%"

    def width(self, low: float, high: float) -> str:
        """Returns the width of a line on the scale as a percentage."""
        share = (min(high, self.end) - max(low, 0.0)) / self.end if self.end else 0.0
        return f"{100 * max(0.0, share):.2f}%"


@dataclass(frozen=True)
class Badge:
    """A verdict on a text, with its judge stage."""

    judge: str
    result: Result
    flip: bool


@dataclass(frozen=True)
class Column:
    """A text with the name of who wrote it.

    Attributes:
        title: The name.
        pieces: The text as pieces, of which some are marked as changed.
        tokens: Length of the text, or None.
        finish: Why the text ended (``stop``, ``length``), or "".
        badges: The verdicts on the text.
        remark: A remark next to the name, or "".
    """

    title: str
    pieces: Sequence[Piece]
    tokens: int | None = None
    finish: str = ""
    badges: Sequence[Badge] = ()
    remark: str = ""

    @property
    def text(self) -> str:
        """Returns the whole text."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True)
class Card:
    """A prompt with its completions.

    Attributes:
        prompt: The messages.
        columns: The completions side by side.
        further: More completions, which are folded.
        kinds: Names of the filters that show the card.
    """

    prompt: Prompt
    columns: Sequence[Column]
    further: Sequence[Column] = ()
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Filter:
    """A choice of cards.

    Attributes:
        kind: Its name in `Card.kinds`: letters and digits.
        label: The text of its button, with the number of prompts.
    """

    kind: str
    label: str


@dataclass(frozen=True)
class Samples:
    """Prompts with completions side by side, and filters. The first filter is chosen at first."""

    cards: Sequence[Card]
    filters: Sequence[Filter] = ()
    note: str = ""


@dataclass(frozen=True)
class PageBlock:
    """A heading with what is below it.

    Attributes:
        title: The heading.
        plots: The figures.
        tables: The tables under the figures.
        note: A text above the figures, or "".
        ranges: Rows of numbers with intervals above the figures, or None.
        samples: Prompts with completions, or None.
        facts: Texts by label.
        pre: A text that is shown as it is, such as a spec, or "".
        folded: Whether the reader must unfold the block to see it.
    """

    title: str
    plots: Sequence[Plot] = ()
    tables: Sequence[TableView] = ()
    note: str = ""
    ranges: Ranges | None = None
    samples: Samples | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    pre: str = ""
    folded: bool = False

    def named(self, part: str, slug: str) -> PageBlock:
        """Returns the block with the name of a part of the page in its title and files."""
        plots = [replace(plot, name=f"{slug}-{plot.name}") for plot in self.plots]
        return replace(self, title=f"{part}: {self.title}", plots=plots)


@dataclass(frozen=True)
class ReportPage:
    """The content of a page.

    Attributes:
        title: The name of the page's subject.
        blocks: The blocks in order.
        warnings: Sentences that say what is missing, and why.
        facts: Texts by label, shown at the end.
        warned: The heading of the warnings.
        lead: The verdict in a sentence; "" uses the title.
        links: Addresses of other pages on the same subject, by label.
        questions: Answers by question, directly below the verdict.
        status: Status of a run, or "".
        about: Short facts next to the title.
        error: The error that ended a run, or "".
        refresh_s: Seconds after which a browser loads the page again; None if it stays as it is.
    """

    title: str
    blocks: Sequence[PageBlock]
    warnings: Sequence[str] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warned: str = "Not in the figures"
    lead: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    status: str = ""
    about: Sequence[str] = ()
    error: str = ""
    refresh_s: int | None = None

    @property
    def plots(self) -> list[Plot]:
        """Returns all figures, in order."""
        return [plot for block in self.blocks for plot in block.plots]
