"""Finds that a command opens something in another program, such as a browser or a viewer."""

from __future__ import annotations

import itertools
import os
import re
import webbrowser
from pathlib import Path
from typing import Any

import click

OPENERS = frozenset(
    "cygstart explorer firefox chromium chrome google-chrome gio gnome-open kde-open less more "
    "most notepad open sensible-browser start wslview x-www-browser xdg-open".split()
)
"""Programs that show a file or an address to a person."""

ASKED = re.compile(r"open|brows|show|view|launch|display|pager|edit|\bui\b", re.IGNORECASE)
"""Parts of the name of a command or an option with which a user asks for another program."""

PROCESSES = ("subprocess.Popen", "os.posix_spawn", "os.system", "os.exec", "os.startfile")
"""Audit events about a program that is started."""


def opener_in(event: str, arguments: tuple[Any, ...]) -> str:
    """Returns the program of an audit event if it shows something to a person; "" otherwise.

    Args:
        event: The event.
        arguments: Its arguments, of which the first ones name the program.
    """
    if event not in PROCESSES:
        return ""
    if event == "os.startfile":
        return "os.startfile"
    words = [arguments[0], *_list(arguments[1] if event == "subprocess.Popen" else ())]
    for word in words[:2]:
        text = os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else ""
        name = Path(text.split()[0]).name if text.split() else ""
        if name.removesuffix(".exe").lower() in OPENERS:
            return name
    return ""


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def note_browsers(note: list[str]) -> None:
    """Lets all functions of `webbrowser` note their address in place of a browser.

    Only a process that ends after the call uses it.

    Args:
        note: The list of addresses.
    """

    def shown(url: str, *_: object, **__: object) -> bool:
        note.append(f"a browser for {url}")
        return True

    browser = webbrowser.GenericBrowser("browser")
    names = ("open", "open_new", "open_new_tab")
    for owner, name in itertools.product((webbrowser, browser), names):
        setattr(owner, name, shown)
    # A module may have imported the functions, which go through the list of browsers.
    replaced = {"get": lambda using=None: browser, "_tryorder": ["browser"]}
    for name, value in replaced.items():
        setattr(webbrowser, name, value)


def is_asked_for(command: click.Command, leaf: click.Command, words: list[str]) -> bool:
    """Returns whether a user who calls a command so wants to see another program.

    Args:
        command: The command.
        leaf: The subcommand that does the work.
        words: The arguments.
    """
    said = [command.name or "", leaf.name or "", (leaf.help or "").split("\n")[0]]
    return any(ASKED.search(each) for each in [*said, *(w for w in words if w.startswith("-"))])


__all__ = ["is_asked_for", "note_browsers", "opener_in"]
