"""Searches the repository's prose for patterns of a style that is hard to read.

The prose must be plain English: subject first, verb second, short sentences. `DONE` lists the paths
that are searched, and it grows. For each finding, rewrite the sentence. If the pattern is wrong
about a good sentence, add the sentence to `ALLOWED`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

DONE = (
    "CHANGELOG.md",
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/",
    "docs/",
    "examples/",
    "halo_core/",
    "libraries/",
    "plugins/halo-data/",
    "plugins/halo-judge/",
    "plugins/halo-methods/",
    "plugins/halo-mlflow/",
    "plugins/halo-report/",
    "plugins/halo-trainer/",
    "registry/",
    "tests/",
)
"""Files and folders that are searched."""

ALLOWED: tuple[str, ...] = ("What a plugin may rely on",)
"""Parts of good sentences that match a pattern."""


LONGEST = 50
"""Largest number of words of a sentence on a page, up to a full stop, a colon or a semicolon."""

HTML = ("catalogue.md", "what-is-trained.md")
"""Generated pages that are mostly HTML."""


class Pattern(NamedTuple):
    """A pattern of prose that is hard to read.

    Attributes:
        text: The regular expression.
        instead: Advice on what to write instead.
    """

    text: str
    instead: str


DESCRIPTIONS = (
    Pattern(
        r"(Of|For) (a|an|the|these|those|this|what|each|all|every|some|its|one|losses|gradients)\b",
        "name the thing: 'Number of batches per epoch', not 'Of these'",
    ),
    Pattern(r"Of \w+\.$", "name the thing: 'Threads of torch', not 'Of torch'"),
    Pattern(r"(What|Whatever|Who|Whoever|Whose|Where|Which)\b(?!.*\?$)", "name the thing"),
    Pattern(
        r"How (much|many|far|often|large|long|near)\b", "write 'Number of ...', 'Share of ...'"
    ),
    Pattern(
        r"(Those|These|That|Such|Its|Their|Ones?) (of|that|which|with|per)\b", "name the thing"
    ),
    Pattern(r"As (it|they|in|for|the|specs|many|`)", "name the thing"),
    Pattern(r"(Told|Given|Left alone|Called (again|once)|Set from|Read after)\b", "name the thing"),
    Pattern(r"(Is|Are|Has|Tells|Says) (of|what|that|who)\b", "say what it returns or does"),
    Pattern(r"None for none\b", "write '..., if any'"),
    Pattern(
        r"(Option|Name|Id|Axis|Tracker|Label|Reason|Column|Cell|Stage|Kind|Type|Method|Key|Module"
        r"|Title)( \w+){0,3} to (?!be\b|read\b|use\b)",
        "write 'Number of rows by reason', not 'Reason to number of rows'",
    ),
)
"""Patterns at the start of a description: a docstring, an option, an attribute or an argument."""

SENTENCES = (
    Pattern(
        r"(Compared|Kept|Refused|Told|Asked|Checked|Counted|Shown|Called|Made|Left out|Listed|Sent"
        r"|Needed|Held|Tried|Looked|Dropped|Trained|Written|Used|Given|Taken|Meant)"
        r" (is|are|was|were|by)\b",
        "put the subject first",
    ),
    Pattern(r"Of (a|an|the|these|those|what|each|such) (?!\d)", "put the subject first"),
    Pattern(
        r"(What|Whatever|Whoever|Who) [^?]* (is|are|was|must|may|can|has|counts)\b[^?]*$",
        "use a noun as the subject, not a clause",
    ),
    Pattern(r"Else\b", "write 'Otherwise'"),
    Pattern(r"As (it|they) (was|were|is|are)\b", "put the subject first"),
)
"""Patterns at the start of a sentence."""

ANYWHERE = (
    Pattern(
        r"(?<!here )\b(is|are|was|were) no (?!longer|more|less|fewer|better|worse|larger|smaller)",
        "write 'is not a ...'",
    ),
    Pattern(r"\bso many\b", "write 'up to N', 'as many as'"),
    Pattern(r"\b(None|none|nothing|null|empty) (where|without one|without any)\b", "write 'if'"),
    Pattern(r"\b[Tt]old (of|by|together|apart)\b", "write 'reported', 'given'"),
    Pattern(r"\b(is|are|was|were) told\b", "write 'is reported', 'is given'"),
    Pattern(r"\b(say|says|said|tells?|asks?|asked) of\b", "write 'says about'"),
    Pattern(r"\bmakes of\b", "write 'does with'"),
    Pattern(r"\b(lie|lies|lay) (in|beside|there|below|elsewhere|at|under)\b", "write 'is in'"),
    Pattern(r"\bstands? (there|here|beside|behind|where)\b", "write 'is'"),
    Pattern(r"(?<![`_.\w])beside\b", "write 'besides', 'next to'"),
    Pattern(r"(?<![`_.\w])behind\b", "write 'after'"),
    Pattern(
        r"\b(that|which) (is|are|was|were) (not )?there\b(?! (a|an|no|is)\b)", "write 'exists'"
    ),
    Pattern(r"\b(is|are) there already\b", "write 'exists already'"),
    Pattern(r"\bas it was given\b", "write 'as given'"),
    Pattern(r"\bhow far\b", "write 'the status of', 'the distance of'"),
    Pattern(r"\b(in vain|without a word|and the like)\b", "use plain words"),
    Pattern(r"\bwhat (came|comes) (out|of it|back)\b", "write 'the result'"),
    Pattern(r"\bany more\b", "write 'no longer'"),
    Pattern(r"\b(go|goes|going|went) on\b", "write 'continue'"),
    Pattern(r"\banew\b", "write 'again'"),
    Pattern(r"\bimput(e|es|ed|ing)\b", "write 'assume'"),
    Pattern(r"\bstands? (in|inside|under|after|before|next|twice|for)\b", "write 'is', 'means'"),
    Pattern(r"\b[Ww]ho (comes|means|wants)\b", "write 'the next one', 'if you want'"),
    Pattern(r"\b(give|gives|given|gave) back\b", "write 'return'"),
    Pattern(r"\b(heed|heeds|heeded)\b", "write 'follow', 'use'"),
    Pattern(r"\b[Cc]alls? of tools\b", "write 'tool calls'"),
    Pattern(r"\bturn(s|ed|ing)? round\b", "write 'reverse'"),
    Pattern(r"\bin silence\b", "write 'silently'"),
)
"""Patterns at any place."""


class Text(NamedTuple):
    """A piece of prose.

    Attributes:
        path: The file.
        line: The line where it starts, from 1.
        text: The text on one line.
        describes: Whether it is a description: the first line of a docstring, or text after a name.
    """

    path: str
    line: int
    text: str
    describes: bool


@cache
def _compiled(patterns: tuple[Pattern, ...], begin: str) -> tuple[re.Pattern[str], list[Any]]:
    """Returns one expression for all patterns, for speed, and one for each of them."""
    each = [(re.compile(f"{begin}(?:{pattern.text})"), pattern.instead) for pattern in patterns]
    return re.compile("|".join(expression.pattern for expression, _ in each)), each


def findings(text: Text) -> Iterator[str]:
    """Yields a line for each match of a pattern, with advice."""
    if any(part in text.text for part in ALLOWED):
        return
    for patterns, begin in (
        (DESCRIPTIONS if text.describes else (), r"^"),
        (SENTENCES, r"(?:^|(?<=[.;:] ))"),
        (ANYWHERE, ""),
    ):
        if not patterns:
            continue
        any_of_them, each = _compiled(patterns, begin)
        if any_of_them.search(text.text) is None:
            continue
        for expression, instead in each:
            if match := expression.search(text.text):
                came = text.text[max(match.start() - 20, 0) : match.end() + 40]
                yield f"{text.path}:{text.line}: {came!r}: {instead}"


def python_texts(path: str, source: str) -> Iterator[Text]:
    """Yields docstrings, comments, and string literals with at least four words.

    Literals in tests are left out, because they quote the messages of the code.
    """
    is_test = "tests" in Path(path).parts
    nodes = list(ast.walk(ast.parse(source)))  # once, because it takes as long as to parse
    documented = {id(node) for node in _docstrings(nodes)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in documented:
                yield from _docstring(path, node.lineno, node.value)
            elif len(node.value.split()) > 3 and not is_test:
                yield Text(path, node.lineno, " ".join(node.value.split()), False)
        if isinstance(node, ast.keyword) and node.arg in ("description", "help"):
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield Text(path, node.value.lineno, node.value.value, True)
    yield from _comments(path, source)


def _docstrings(nodes: Sequence[ast.AST]) -> Iterator[ast.Constant]:
    for node in nodes:
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement.value


def _docstring(path: str, line: int, text: str) -> Iterator[Text]:
    """Yields the paragraphs of a docstring, and each entry of its sections."""
    place, begins, words = line, line, list[str]()
    describes = True
    for number, row in enumerate(text.split("\n"), line):
        stripped = row.strip()
        entry = re.match(r"[`\w*]+: (?=\S)", stripped)
        ends = (
            not stripped
            or stripped.endswith((":", "::"))
            or stripped.startswith((">>>", "* ", "|"))
        )
        if (ends or entry) and words:
            yield Text(path, begins, " ".join(words), describes)
            words, describes = [], False
        if entry:
            stripped, describes = stripped[entry.end() :], True
        if stripped and not words:
            begins = number
        if not ends or stripped.endswith(":"):
            words += stripped.split()
    if words:
        yield Text(path, begins or place, " ".join(words), describes)


# A comment begins with # outside of strings. Python's own tokenizer takes twenty times as long.
_STRING_OR_COMMENT = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*''',
    re.DOTALL,
)


def _comments(path: str, source: str) -> Iterator[Text]:
    """Yields comments. Comments on adjacent lines are one text."""
    words: list[str] = []
    begins = last = 0
    number, counted = 1, 0
    for match in _STRING_OR_COMMENT.finditer(source):
        comment = match[0]
        if not comment.startswith("#") or comment.startswith("#!"):
            continue
        number += source.count("\n", counted, match.start())
        counted = match.start()
        if words and number != last + 1:
            yield Text(path, begins, " ".join(words), False)
            words = []
        if not words:
            begins = number
        last = number
        words += comment.lstrip("# ").split()
    if words:
        yield Text(path, begins, " ".join(words), False)


def markdown_texts(path: str, source: str) -> Iterator[Text]:
    """Yields paragraphs, list items and table cells, without code."""
    words: list[str] = []
    begins, fenced = 1, False
    for number, row in enumerate([*source.split("\n"), ""], 1):
        stripped = row.strip()
        if stripped.startswith("```"):
            fenced = not fenced
        ends = not stripped or stripped.startswith(("```", "#", "* ", "- ", "|", "<!--"))
        if (ends or fenced) and words:
            yield Text(path, begins, " ".join(words), False)
            words = []
        if fenced or stripped.startswith(("```", "<!--")):
            continue
        if stripped.startswith("|"):
            for cell in stripped.strip("|").split("|"):
                yield Text(path, number, cell.strip(), False)
            continue
        if stripped and not words:
            begins = number
        words += stripped.lstrip("#*- ").split()


def yaml_texts(path: str, source: str) -> Iterator[Text]:
    """Yields the comments of a YAML file, those on adjacent lines together."""
    rows = [re.search(r"(?:^|\s)#\s?(.*)", row) for row in source.split("\n")]
    words: list[str] = []
    for number, row in enumerate([*rows, None], 1):
        if row is None and words:
            yield Text(path, number - 1, " ".join(words), False)
            words = []
        elif row is not None:
            words += row[1].split()


READERS = {".py": python_texts, ".md": markdown_texts, ".yaml": yaml_texts}
"""The reader for each kind of file."""


def texts() -> Iterator[Text]:
    """Yields the prose in all files of `DONE` that git knows."""
    files = subprocess.run(
        ["git", "ls-files", *DONE], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for path in files:
        reader = READERS.get(Path(path).suffix)
        if reader:
            yield from reader(path, (ROOT / path).read_text(encoding="utf-8"))


def long_sentences(text: Text) -> Iterator[str]:
    """Yields a line for each part of a sentence with too many words, besides links and code."""
    for part in re.split(r"(?<=[.!?;:])\s", re.sub(r"`[^`]*`|\]\([^)]*\)", "", text.text)):
        if (words := len(re.findall(r"\w[\w'-]*", part))) > LONGEST:
            yield f"{text.path}:{text.line}: {words} words: {part[:60]!r}: make sentences or a list"


def test_the_sentences_of_pages_are_short() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("*/*/README.md")]
    pages += [page for page in (ROOT / "docs").rglob("*.md") if page.name not in HTML]
    assert len(pages) > 50
    found = [
        line
        for page in pages
        for text in markdown_texts(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
        for line in long_sentences(text)
    ]
    assert not found, "\n".join(found)


def test_a_long_sentence_is_found() -> None:
    assert list(long_sentences(Text("page.md", 1, "word " * (LONGEST + 1), False)))
    names = "It has " + "`name`, " * (LONGEST + 1) + "and no more."
    assert not list(long_sentences(Text("page.md", 1, "Short. " + names, False)))


def test_the_prose_is_plain() -> None:
    found = [finding for text in texts() for finding in findings(text)]
    assert not found, f"{len(found)} sentences are hard to read:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "sentence",
    [
        "Of a suite so many cells at a time.",
        "Of these.",
        "Of torch.",
        "What a judge gives a completion.",
        "As specs write it.",
        "Told of their number.",
        "None for none.",
        "Option name to the folder of the stage.",
        "How many it took.",
        "Compared are two of them by it: the higher one wins.",
        "What is only labelled is no test: its prompts may be trained on.",
        "The files of a run as it was given.",
        "Returns the model; none where it makes no model.",
        "This spec is no suite.",
        "The lock lies beside the folder.",
        "All such mistakes are told together.",
        "The same command goes on.",
        "It computes the rows anew.",
        "The lock stands in the folder.",
        "Who comes second waits.",
    ],
)
def test_an_old_sentence_is_found(sentence: str) -> None:
    assert list(findings(Text("page.md", 1, sentence, True)))


@pytest.mark.parametrize(
    "sentence",
    [
        "Run up to N cells of a suite in parallel.",
        "Number of batches per epoch.",
        "Of 234 prompts, 11 continue a training prompt.",
        "Why the completion ended: by itself, or at the maximum length.",
        "There is no suite of this name.",
        "It is no longer called.",
        "What does a cow say?",
        "Whether the judge failed.",
        "Run the same command again to continue, and so on.",
    ],
)
def test_a_plain_sentence_is_not_found(sentence: str) -> None:
    assert list(findings(Text("page.md", 1, sentence, True))) == []


def test_texts_are_found_in_each_kind_of_file() -> None:
    python = '''def f(a):
    """Returns it.

    Args:
        a: Of these.
    """
    # Kept is all.
    raise ValueError(f"{a} is no number at all")
'''
    lines = [(t.line, t.text, t.describes) for t in python_texts("a.py", python)]
    assert (2, "Returns it.", True) in lines
    assert (5, "Of these.", True) in lines
    assert (7, "Kept is all.", False) in lines
    assert (8, "is no number at all", False) in lines
    page = "# Head\n\nOne\ntwo.\n\n```\ncode\n```\n* item\n\n| a | b |\n"
    assert [t.text for t in markdown_texts("a.md", page)] == ["Head", "One two.", "item", "a", "b"]
    assert [t.text for t in yaml_texts("a.yaml", "# One\n# two.\nkey: 1  # three\n")] == [
        "One two. three"
    ]


def test_every_path_that_is_done_exists() -> None:
    assert [path for path in DONE if not (ROOT / path).exists()] == []
