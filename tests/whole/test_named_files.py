"""The files and folders of the repository that its pages name exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("*/*/README.md")),
    ROOT / "registry" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
"""All pages but the changelog, which names files of earlier versions."""
CODE = {ROOT / "docs/explanation/design.md", *ROOT.glob("*/*/README.md")}
"""Pages that are about halo's own code, so each Python file that they name is one of halo's."""
PLACEHOLDERS = {
    "registry/YOUR-DISTRIBUTION.toml",
    "registry/halo-stranger.toml",  # of the plugin that the guide explains
    "registry/checked/halo-stranger.json",
    "tests/test_manners_loss.py",  # of the package that `halo new` writes in the guide
    "test_greetings_data.py",
    "tests/test_mine_stage.py",
}
"""Names that the reader replaces by a name of their own."""
QUOTED = re.compile(r"`([\w./-]+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def repository_files() -> list[str]:
    """Returns the paths of all files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()


def names_in(text: str, folders: Sequence[str], *, code: bool) -> Iterator[str]:
    """Yields the quoted names on a page that must be files or folders of the repository.

    These are paths that begin with a folder of the repository, and names of tests.

    Args:
        text: Text of the page.
        folders: The folders at the top of the repository.
        code: Whether all names of Python files count.
    """
    for name in QUOTED.findall(FENCED.sub("", text)):
        file = name.rpartition("/")[2]
        begins = name.partition("/")[0] in folders and "/" in name
        tests = file.startswith("test_") and file.endswith(".py")
        if begins or tests or (code and file.endswith(".py")):
            yield name


def missing(names: Sequence[str], files: Sequence[str]) -> list[str]:
    """Returns the names of neither files nor folders, without placeholders."""
    joined = "\n".join(f"/{file}" for file in files) + "\n"
    return [
        name
        for name in names
        if name not in PLACEHOLDERS
        and f"/{name}\n" not in joined
        and f"\n/{name.rstrip('/')}/" not in f"\n{joined}"
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    files = repository_files()
    folders = sorted({file.partition("/")[0] for file in files if "/" in file})
    names = list(names_in(page.read_text("utf-8"), folders, code=page in CODE))
    assert missing(names, files) == []


def test_a_file_that_does_not_exist_is_found() -> None:
    text = "`run/plan.py`, `stage/ask.py`, `tests/gone/`, `my_loss.py` and `test_gone.py`"
    design = list(names_in(text, ["tests"], code=True))
    other = list(names_in(text, ["tests"], code=False))
    files = ["halo_core/run/plan.py", "tests/run/test_plan.py"]
    assert missing(design, files) == ["stage/ask.py", "tests/gone/", "my_loss.py", "test_gone.py"]
    assert missing(other, files) == ["tests/gone/", "test_gone.py"]
