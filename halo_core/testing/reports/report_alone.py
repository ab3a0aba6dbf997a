"""Checks that a page needs only its run: no network, no other run, no file next to it."""

from __future__ import annotations

import os
import shutil
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.guarded.report_calls import written_by
from halo_core.testing.component import expect, must_not_raise
from halo_core.testing.left_running import still_running
from halo_core.testing.made_runs import make_run, with_second_stage
from halo_core.testing.processes.children import children_of
from halo_core.testing.processes.effects import watching
from halo_core.testing.reports.page_markup import Markup, is_html, text_of
from halo_core.testing.run_texts import with_texts
from halo_core.tracker import Report
from halo_core.workspace.layout import Workspace
from halo_core.workspace.records import EVENTS

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
"""Beginnings of addresses of this machine. A browser without a window may be one of its servers."""

TAKEN = "report.html"
"""The page of the report `html`, which each run has unless its spec says otherwise."""

ENDS_S = 1.5
"""Seconds after which a process or a thread that was started must have ended."""


def check_self_contained(report: Report, folder: Path) -> None:
    """Checks a page in two places, and what is done and loaded for it.

    Args:
        report: The report.
        folder: An empty folder for two workspaces.

    Raises:
        AssertionError: When the page depends on other runs or on the folder of the run, loads
            something from the network or from a folder, has a second file or the name of halo's own
            page, or is more private than the run, when write() connects, opens a browser or leaves
            a process, or when a thread changes the page later.
    """
    one, another = (Workspace((folder / name).resolve()) for name in ("one", "another"))
    make_run(one, "b")
    run = make_run(one, "a")
    with_second_stage(run)
    with_texts(run, report)
    moved = another.run(run.name)
    shutil.copytree(run, moved)
    shutil.copytree(one.root / "stages", another.root / "stages")
    before, threads = {*run.rglob("*")}, {*threading.enumerate()}
    with must_not_raise(report, "write()"), _outside(report):
        page = written_by(report, run)
        returned = page.read_bytes() if os.access(page, os.R_OK) else b""
        still_running([*{*threading.enumerate()} - threads], time.monotonic() + ENDS_S)
    expect(
        not returned or page.read_bytes() == returned,
        report,
        f"a thread changes {page.name} after write() has returned; expected the whole page before "
        "that, because a reader and other programs get it then",
    )
    _check_files(report, run, page, before)
    with must_not_raise(report, "write() of a run that was moved"):
        other = written_by(report, moved)
    # A page may say where its run is.
    here = page.read_bytes().replace(bytes(one.root), b"")
    there = other.read_bytes().replace(bytes(another.root), b"")
    expect(
        here == there or b"\0" in here,  # The path may be compressed.
        report,
        f"{page.name} is another one if the run is moved to a workspace without other runs; "
        "expected a page that depends on the run only",
    )
    try:
        text = text_of(page)
    except UnicodeDecodeError:
        return  # `check_texts` says this.
    loads = Markup(text).loads if text is not None and is_html(page) else []
    expect(
        not loads,
        report,
        f"{page.name} loads {', '.join(loads[:3])}; expected a page that contains what it shows, "
        "because it is read without a network and on other machines, and for years",
    )


@contextmanager
def _outside(report: Report) -> Iterator[None]:
    """Checks that a block connects to no other machine, opens no browser and leaves no process."""
    done: dict[str, None] = {}

    def take(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.getaddrinfo", "socket.connect"):
            address = arguments[1] if event == "socket.connect" else arguments[0]
            host = address[0] if isinstance(address, tuple) else address
            if isinstance(host, str) and not host.startswith(LOCAL) and not host.startswith("/"):
                done[f"connects to {host}"] = None

    def shown(url: str, *_: object, **__: object) -> bool:
        done[f"opens {url} in a browser"] = None
        return True

    before, opens = children_of(os.getpid()), webbrowser.open
    webbrowser.open = shown  # It gives no audit event if there is no browser.
    try:
        with watching(take):
            yield
    finally:
        webbrowser.open = opens
    end = time.monotonic() + ENDS_S
    while (left := children_of(os.getpid()) - before) and time.monotonic() < end:
        time.sleep(0.02)
    if left:
        done[f"leaves {len(left)} process running"] = None
    expect(
        not done,
        report,
        f"write() {'; '.join(done)}; expected it to write a page and nothing else: halo writes it "
        "while a run is in progress, also without a network and without a person",
    )


def _check_files(report: Report, run: Path, page: Path, before: set[Path]) -> None:
    more = sorted(
        str(path.relative_to(run)) for path in {*run.rglob("*")} - before - {page} if path.is_file()
    )
    expect(
        not more,
        report,
        f"write() also writes {', '.join(more)} next to {page.name}; expected one file, because "
        "only the returned one is shown and copied",
    )
    expect(
        page.name != TAKEN or type(report).__module__.partition(".")[0] == "halo_report",
        report,
        f"write() writes {TAKEN}, which the report 'html' of the same run writes, too; expected a "
        "page with a name of its own",
    )
    mode = page.stat().st_mode
    expect(
        bool(mode & 0o400) and os.access(page, os.R_OK),
        report,
        f"{page.name} has the mode {mode & 0o777:o}, so nobody may read it; expected a mode with "
        "the right to read for its owner",
    )
    others = (run / EVENTS.name).stat().st_mode & 0o044
    expect(
        mode & others == others,
        report,
        f"{page.name} has the mode {mode & 0o777:o}, so people who may read the run may not read "
        "its page; expected the rights of other new files. Files of tempfile are private: use "
        "chmod, or open the draft with open()",
    )


__all__ = ["check_self_contained"]
