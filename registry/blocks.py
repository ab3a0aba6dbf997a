"""Fills in the parts of pages that come from the code: tables and tested files.

A page contains the text itself, so that it can be read anywhere. Two comments say where the text
comes from::

    <!-- made: spec-keys -->            a table that `TABLES` names
    <!-- from: tests/strangers/... -->  a file of the repository, as a block of code
    <!-- files: plugins/... -->         a table of all modules below a folder
    <!-- folders: halo_core -->         a table of the packages and modules directly in a folder
    <!-- end -->

`python registry/build.py` writes the text between them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import module_tables
import public_names
import spec_tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TABLES: Mapping[str, Callable[[], str]] = {
    "public-names": public_names.names_table,
    "spec-keys": spec_tables.keys_table,
    "spec-references": spec_tables.references_table,
    "spec-losses": spec_tables.losses_table,
    "spec-conversions": spec_tables.conversions_table,
}
MODULES: Mapping[str, Callable[[Path], str]] = {
    "files": module_tables.files_table,
    "folders": module_tables.folders_table,
}
_BLOCK = re.compile(r"<!-- (made|from|files|folders): (\S+) -->\n.*?<!-- end -->", re.DOTALL)
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}


def filled(text: str) -> str:
    """Returns a page with the current text of all its blocks.

    Raises:
        ValueError: When a block names a table or a file that does not exist.
    """
    return _BLOCK.sub(_block, text)


def pages_with_blocks() -> dict[Path, str]:
    """Returns the pages that have blocks, filled."""
    pages = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*/halo-*/README.md"))]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    return {page: filled(text) for page, text in texts.items() if _BLOCK.search(text)}


def _block(match: re.Match[str]) -> str:
    kind, name = match.groups()
    if kind == "made":
        if name not in TABLES:
            raise ValueError(f"no table {name!r}; expected one of {', '.join(TABLES)}")
        content = TABLES[name]()
    elif kind in MODULES:
        if not (ROOT / name).is_dir():
            raise ValueError(f"no folder {name}")
        content = MODULES[kind](ROOT / name)
    else:
        if not (ROOT / name).is_file():
            raise ValueError(f"no file {name}")
        code = (ROOT / name).read_text(encoding="utf-8").rstrip()
        content = f"```{_LANGUAGES[Path(name).suffix]}\n{code}\n```"
    return f"<!-- {kind}: {name} -->\n\n{content}\n\n<!-- end -->"
