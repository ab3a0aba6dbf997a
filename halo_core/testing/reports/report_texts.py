"""Checks the page of a run with texts that must be escaped, and with rare events."""

from __future__ import annotations

from pathlib import Path

from halo_core.guarded.report_calls import written_by
from halo_core.testing.advice import advise
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.made_runs import make_run, with_equal_numbers, with_second_stage
from halo_core.testing.reports.page_markup import (
    Markup,
    fault_of_xml,
    has_word,
    is_drawn,
    is_html,
    says_utf_8,
    text_of,
)
from halo_core.testing.run_texts import CONTROLS, PLAIN, TAG, TEXT, WORD, with_texts
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace


def check_texts(report: Report, folder: Path) -> None:
    """Checks a page with texts of HTML and of other languages, and with rare events.

    It advises if the page is that of another run with fewer stages.

    Args:
        report: The report.
        folder: An empty folder, which becomes the workspace.

    Raises:
        AssertionError: When write() raises, the page is not UTF-8 or lacks letters, or a text of
            the run becomes an element of the page or is escaped twice.
    """
    run = make_run(Workspace(folder.resolve()), "a")
    with must_not_raise(report, "write() of a run"):
        usual = written_by(report, run).read_bytes()
    with_second_stage(run)
    with_equal_numbers(run)
    with_texts(run, report)
    what = (
        "write() of a run with a warning whose stage is null, an event of an unknown type, a stage "
        "without metrics and one whose curves are constant"
    )
    with must_not_raise(report, what):
        page = written_by(report, run)
    if page.read_bytes() == usual:
        advise(
            report,
            f"the page {page.name} is the same for a run with one stage and for one with eight, "
            "which have other numbers, warnings and headlines. If it shows something of a run, it "
            "may hide an error, or read only what the kit's runs lack",
        )
    try:
        text = text_of(page)
    except UnicodeDecodeError as error:
        fault = f"{error.reason} at byte {error.start}"
        expect(False, report, f"{page.name} is not UTF-8: {fault}; write it with encoding='utf-8'")
        return
    if text is not None:
        _check_text(report, page, text)


def _check_text(report: Report, page: Path, text: str) -> None:
    expect(
        PLAIN not in text or has_word(text, WORD),
        report,
        f"{page.name} has {PLAIN!r} in place of {WORD!r}; expected all letters of a headline or a "
        "message, so open and write files with encoding='utf-8'",
    )
    expect(
        not says_utf_8(page, text),
        report,
        f"{page.name} says that it is UTF-8, and is UTF-16; write it with encoding='utf-8'",
    )
    fault = fault_of_xml(page, text)
    expect(
        not fault,
        report,
        f"{page.name} is not valid XML if a text of the run is {TEXT!r} or "
        f"{CONTROLS!r}: {fault}; escape texts, for example with xml.sax.saxutils.escape, and leave "
        "out letters below U+0020 other than tab and ends of lines, which no XML may have",
    )
    if not is_drawn(page):
        return
    markup = Markup(text)
    expect(
        not markup.negative,
        report,
        f"{page.name} has {', '.join(markup.negative[:1])} if a metric is negative, which no "
        "browser draws; draw from the smaller of two ends",
    )
    if not is_html(page):
        return
    expect(
        TAG not in markup.names,
        report,
        f"a text of the run becomes an element of {page.name}: {TEXT!r}; escape texts with "
        "html.escape, and < as \\u003c inside of a script, because a completion could run code "
        "in the browser of a reader",
    )
    expect(
        f"&lt;{TAG}" not in markup.shown,
        report,
        f"{page.name} shows '&lt;' in place of '<'; escape each text once",
    )


__all__ = ["check_texts"]
