"""Measures how the source is divided into files and folders.

    python benchmarks/structure.py [CHECKOUT]

It prints figures that show whether a newcomer finds the right file and reads only a few files:
files, lines per file, small files, the largest folder, the share of import lines, and files on the
ways that the design page lists. `docs/explanation/design.md` has the figures before and after each
change of the layout. Other tools count repeated code.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

SMALL = 40
"""Number of lines of code below which a file is small."""


def source_files(root: Path) -> list[Path]:
    """Returns the source files of a checkout, without tests and without bare ``__init__.py``."""
    folders = [root / "halo_core", *root.glob("plugins/*/src"), *root.glob("libraries/*/src")]
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [path for path in files if not _is_bare(path)]


def _is_bare(path: Path) -> bool:
    """Returns whether a file is an ``__init__.py`` with nothing but a docstring."""
    body = ast.parse(path.read_text()).body
    return path.name == "__init__.py" and all(isinstance(node, ast.Expr) for node in body)


def code_lines(text: str) -> list[str]:
    """Returns the lines that are neither blank nor a comment nor part of a docstring."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documented |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return [
        line
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#") and number not in documented
    ]


def import_lines(text: str) -> int:
    """Returns the number of lines in import statements."""
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
    return sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes)


def ways(root: Path) -> dict[str, int]:
    """Returns the ways that the design page lists, by heading, with the number of their files."""
    page = (root / "docs/explanation/design.md").read_text()
    found: dict[str, int] = {}
    for heading, section in re.findall(r"^### (The way of .*?)$(.*?)(?=^#|\Z)", page, re.M | re.S):
        found[heading] = len(re.findall(r"^\d+\. `[\w/.-]+\.py`", section, re.M))
    return found


def figures(root: Path) -> dict[str, object]:
    """Returns all figures of a checkout."""
    files = source_files(root)
    texts = [path.read_text() for path in files]
    lines = [len(text.splitlines()) for text in texts]
    code = [len(code_lines(text)) for text in texts]
    comments = sum(line.lstrip().startswith("#") for text in texts for line in text.splitlines())
    folders = Counter(path.parent.relative_to(root) for path in files)
    largest, count = folders.most_common(1)[0]
    return {
        "files": len(files),
        "folders": len(folders),
        "lines": sum(lines),
        "lines per file, median": median(lines),
        "lines per file, 90th percentile": round(quantiles(lines, n=10)[-1]),
        "lines of the longest file": max(lines),
        f"files under {SMALL} lines of code": sum(n < SMALL for n in code),
        "files in the largest folder": f"{count} ({largest})",
        "share of import lines": f"{sum(map(import_lines, texts)) / sum(lines):.1%}",
        "comment lines per 100 lines of code": round(100 * comments / sum(code), 1),
        **ways(root),
    }


if __name__ == "__main__":
    print(json.dumps(figures(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()), indent=2))
