"""Takes the credentials of trackers out of records that an older halo wrote.

It recorded the address of a tracker as the spec gave it, with its password. Now a spec with a
password is refused. Each run cleans the earlier runs and suites of its workspace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from halo_core.errors import BusyError
from halo_core.known_secrets import forms_of
from halo_core.leaves import leaves
from halo_core.uri_credentials import uri_secrets
from halo_core.workspace.check_values import check_value
from halo_core.workspace.files import CHECK, checked_line, object_check, write_json, write_text
from halo_core.workspace.lock import held, locked
from halo_core.workspace.records import RUN, SUITE, SUITE_SPEC

TEXTS = (".json", ".jsonl", ".yaml", ".html", ".log")
SHORTEST = 6
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")


def clean_old_records(workspace: Path, own: Path) -> list[Path]:
    """Replaces the credentials of trackers in the records of a workspace by stars.

    The texts keep their lengths, because trackers remember positions in the events. Check values
    are computed again. Runs that another process is working on are left for the next time, and so
    are folders that are links.

    Args:
        workspace: The workspace.
        own: The folder of the calling run, whose lock the caller holds.

    Returns:
        The folders that were cleaned.
    """
    cleaned = []
    for folder, secrets in _affected(workspace):
        try:
            if folder == own:
                changed = _clean(folder, secrets)
            else:
                with _lock(folder):
                    changed = _clean(folder, secrets)
        except BusyError:
            continue
        if changed:
            cleaned.append(folder)
    return cleaned


def _affected(workspace: Path) -> Iterator[tuple[Path, list[str]]]:
    for kind, addresses in (("runs", _addresses_of_run), ("suites", _addresses_of_suite)):
        parent = workspace / kind
        for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
            if folder.is_dir() and not folder.is_symlink() and not folder.name.startswith("."):
                if secrets := _secrets(addresses(folder)):
                    yield folder, secrets


def _addresses_of_run(folder: Path) -> Iterable[str]:
    text = _text(folder / RUN.name)
    if "://" not in text:  # The cheap test first, because there may be thousands of runs.
        return ()
    try:
        trackers = json.loads(text).get("tracking", [])
        return [value for _, value in leaves(trackers) if isinstance(value, str)]
    except (ValueError, AttributeError):
        return ()  # A damaged record is reported by whoever reads it.


def _addresses_of_suite(folder: Path) -> Iterable[str]:
    text = _text(folder / SUITE_SPEC)
    return [match[0].rstrip(",}])") for match in _ADDRESS.finditer(text)]


def _lock(folder: Path) -> AbstractContextManager[None]:
    if folder.parent.name == "suites":
        return held(folder / SUITE.name)
    return locked(folder, "another process is working on this run")


def _text(path: Path) -> str:
    try:
        return "" if path.is_symlink() else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _secrets(addresses: Iterable[str]) -> list[str]:
    """Returns what is to be replaced, the longest first: secrets, and short ones with their @."""
    found: set[str] = set()
    for secret in (secret for address in addresses for secret in uri_secrets(address)):
        whole = {secret} if len(secret) >= SHORTEST else {f"://{secret}@", f":{secret}@"}
        found |= whole | {form for form in forms_of(secret) if len(form) >= SHORTEST}
    stars = re.compile(r"[*:/@]+")
    return sorted((s for s in found if not stars.fullmatch(s)), key=lambda s: (-len(s), s))


def _clean(folder: Path, secrets: Iterable[str]) -> bool:
    changed = False
    for path in sorted(folder.iterdir()):
        if path.suffix not in TEXTS or path.is_symlink() or path.name == RUN.name:
            continue
        changed |= _clean_file(path, secrets)
    # Last, because it holds the check values of the others.
    return ((folder / RUN.name).is_file() and _clean_run(folder, secrets)) or changed


def _clean_file(path: Path, secrets: Iterable[str]) -> bool:
    text = _text(path)
    clean = _starred(text, secrets)
    if clean == text:
        return False
    if path.suffix == ".jsonl":
        write_text(path, "".join(map(_line, clean.splitlines(keepends=True))))
    elif path.suffix == ".json":
        _write_object(path, json.loads(clean))
    else:
        write_text(path, clean)
    return True


def _clean_run(folder: Path, secrets: Iterable[str]) -> bool:
    path = folder / RUN.name
    text = _text(path)
    clean = _starred(text, secrets)
    tree = json.loads(clean)
    files = {name: check_value(folder / name) for name in tree.get("files", {})}
    if clean == text and files == tree.get("files", {}):
        return False
    _write_object(path, {**tree, "files": files} if files else tree)
    return True


def _write_object(path: Path, tree: Any) -> None:
    if isinstance(tree, dict) and CHECK in tree:
        del tree[CHECK]
        tree = {**tree, CHECK: object_check(tree)}
    write_json(path, tree)


def _line(line: str) -> str:
    try:
        tree = json.loads(line)
    except ValueError:
        return line
    if not isinstance(tree, dict) or CHECK not in tree:
        return line
    del tree[CHECK]
    return checked_line(tree)


def _starred(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        # YAML may break a long line at a blank.
        pattern = r"\s+".join(map(re.escape, secret.split(" ")))
        text = re.sub(pattern, lambda match: re.sub(r"[^:/@\s]", "*", match[0]), text)
    return text
