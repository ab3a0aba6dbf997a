"""Gives mangled files of rows to `halo data`.

    python benchmarks/fuzz_data.py [--cases 1000] [--real 20] [--seed 0] [--only NUMBER]

Each case is a file of ten rows (jsonl, json or csv; paired, binary, scored or messages) with one
change: to its bytes (NUL, cut, other encodings), to one value (deep nesting, huge numbers, other
types, halves of surrogate pairs) or to one row (missing columns, keys twice, arrays, no object).
The changes depend only on the seed and the number of the case. `fuzz_cases.py` says which ends are
faults. If there are any, the exit code is 1. 1,000 cases take about 2 minutes.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_cases import Case, main, through_command

HERE = "the place of the value"
MARK = json.dumps(HERE)
FORMS = ("paired", "binary", "scored", "messages", "text")
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".jsonl.gz")


def row(form: str, number: int) -> dict[str, Any]:
    """Returns one valid row."""
    question, answer = f"What is {number} plus 1?", f"It is {number + 1}."
    if form == "paired":
        return {"prompt": question, "chosen": answer, "rejected": "I don't know."}
    if form == "binary":
        return {"prompt": question, "completion": answer, "label": number % 2 == 0}
    if form == "scored":
        return {"prompt": question, "completion": answer, "score": number / 10}
    if form == "messages":
        turns = (("user", question), ("assistant", answer))
        return {"messages": [{"role": role, "content": text} for role, text in turns]}
    return {"text": f"{question} {answer}"}


VALUES: dict[str, tuple[str, ...]] = {
    "deep nesting": (
        "[" * 500 + "]" * 500,
        "[" * 100_000 + "]" * 100_000,
        '{"a": ' * 900 + "1" + "}" * 900,
        '[{"role": "user", "content": ' * 300 + '"x"' + "}]" * 300,
        "[" * 5000,
    ),
    "a huge number": (
        "9" * 6000,
        "-" + "9" * 6000,
        "1" + "0" * 400,
        "1e400",
        "-1e999",
        "0." + "1" * 6000,
        "1E" + "9" * 50,
        "9223372036854775808",
    ),
    "an odd number": ("NaN", "Infinity", "-Infinity", "-0", "1e-400", "01", "+1", "0x1", "1_000"),
    "another type": (
        "null",
        "true",
        "1",
        "-1.5",
        "[]",
        "{}",
        '""',
        '" "',
        "[null]",
        "[1, 2]",
        '[{"role": "user"}]',
        '[{"content": "x"}]',
        '[{"role": 1, "content": 2}]',
        '{"role": "user", "content": "x"}',
        '["a", "b"]',
        "[[]]",
        "[{}]",
    ),
    "an escaped character": (
        r'"\u0000"',
        r'"\ud800"',
        r'"\udc00\ud800"',
        r'"\ud83d\ude00"',
        r'"\u001b[31m"',
        r'"\u202e"',
        r'"\uffff"',
        r'"\q"',
        r'"\u00"',
        r'"\u0085\u2028"',
    ),
    "a long text": (f'"{"x" * 200_000}"', f'"{chr(0x4E16) * 50_000}"', f'"{" " * 100_000}"'),
    "a key twice": ('{"a": 1, "a": 2}', '[{"role": "user", "role": "assistant", "content": "x"}]'),
    "a raw control character": ('"a\tb"', '"a\x01b"', '"a\x1b[31m"', '"a\x7f"', '"a\x85b"'),
}
INSERTED: dict[str, bytes] = {
    "NUL": b"\0",
    "many NUL": b"\0" * 4096,
    "half a surrogate pair": b"\xed\xa0\x80",
    "bytes that are not UTF-8": b"\xff\xc3",
    "a byte order mark within": b"\xef\xbb\xbf",
    "a quotation mark": b'"',
    "a line end": b"\n",
    "a carriage return": b"\r",
    "a line separator": "\u2028".encode(),
    "an escape sequence": b"\x1b]0;x\x07",
    "brackets": b"[" * 500,
    "a comma": b",",
}
ENCODINGS = ("utf-8-sig", "utf-16", "utf-32", "latin-1", "cp500")
LINES = (
    "null",
    "[]",
    "[1]",
    '"text"',
    "1",
    "{}",
    '{"": ""}',
    "{",
    "}",
    "{'prompt': 'x'}",
    "\0",
    "-",
)

Change = Callable[[list[dict[str, Any]], str, random.Random], bytes]


def text_of(rows: list[dict[str, Any]], ending: str) -> str:
    """Returns rows as the text of a file."""
    if ending == ".json":
        return json.dumps(rows, indent=1)
    if "jsonl" in ending:
        return "".join(json.dumps(item) + "\n" for item in rows)
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t" if ending == ".tsv" else ",")
    table.writerow(rows[0])
    for item in rows:
        cells = (json.dumps(c) if isinstance(c, list | dict) else c for c in item.values())
        table.writerow(cells)
    return text.getvalue()


def with_value(kind: str) -> Change:
    """Replaces one value, which may lie deep in a row."""

    def change(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
        raw, item = rng.choice(VALUES[kind]), rng.choice(rows)
        name = rng.choice(list(item))
        inner = item[name]
        if isinstance(inner, list) and rng.random() < 0.7:
            message = rng.choice(inner)
            message[rng.choice(list(message))] = HERE
        else:
            item[name] = HERE
        text = text_of(rows, ending)
        if ending in (".csv", ".tsv"):
            quoted = raw.replace('"', '""')
            return text.replace(HERE, quoted).encode("utf-8", "surrogatepass")
        return text.replace(MARK, raw).encode("utf-8", "surrogatepass")

    return change


def with_bytes(raw: bytes) -> Change:
    """Inserts bytes at a random place."""

    def change(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
        text = text_of(rows, ending).encode()
        at = rng.randrange(len(text))
        return text[:at] + raw + text[at:]

    return change


def cut(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
    """Cuts the file anywhere, also within a character."""
    rows[-1] = {name: "caf\u00e9 \u4e16\u754c" for name in rows[-1]}
    raw = text_of(rows, ending).encode()
    return raw[: rng.randrange(len(raw))]


def recoded(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
    """Writes the file in another encoding."""
    name = next(iter(rows[0]))
    if isinstance(rows[0][name], str):
        rows[0][name] = "caf\u00e9"
    return text_of(rows, ending).encode(rng.choice(ENCODINGS))


def another_line(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
    """Adds a line that is not a row."""
    lines = text_of(rows, ending).splitlines(keepends=True)
    lines.insert(rng.randrange(len(lines)), rng.choice(LINES) + "\n")
    return "".join(lines).encode()


def other_columns(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
    """Renames, removes or adds columns of one row or of all."""
    name = rng.choice(list(rows[0]))
    new = rng.choice(("", " ", "x" * 5000, "prompt", "a.b", "\x1b[31m", "id", "messages", "0"))
    for item in rows if rng.random() < 0.5 else rows[:1]:
        value = item.pop(name)
        if rng.random() < 0.8:
            item[new] = value
    return text_of(rows, ending).encode()


def nothing(rows: list[dict[str, Any]], ending: str, rng: random.Random) -> bytes:
    """Writes a file without rows."""
    return rng.choice((b"", b"\n", b"\n\n \n", b"[]", b"{}", b"\xef\xbb\xbf", b"[", b"null", b"#"))


CHANGES: dict[str, Change] = {
    **{kind: with_value(kind) for kind in VALUES},
    **{kind: with_bytes(raw) for kind, raw in INSERTED.items()},
    "cut": cut,
    "another encoding": recoded,
    "a line that is not a row": another_line,
    "other columns": other_columns,
    "no rows": nothing,
    "damaged gzip": lambda rows, ending, rng: damaged_gzip(rows, rng),
}
MUST_FAIL = ("half a surrogate pair", "bytes that are not UTF-8")


def damaged_gzip(rows: list[dict[str, Any]], rng: random.Random) -> bytes:
    """Cuts a gzipped file, or changes one byte of it."""
    packed = bytearray(gzip.compress(text_of(rows, ".jsonl").encode(), mtime=0))
    at = rng.randrange(len(packed))
    if rng.random() < 0.5:
        return bytes(packed[:at])
    packed[at] ^= 0xFF
    return bytes(packed)


def mangled(seed: int, number: int, folder: Path) -> Case:
    """Writes the file of a case, and returns the case."""
    rng = random.Random(f"{seed} {number}")
    kind = list(CHANGES)[number % len(CHANGES)]
    ending = ".jsonl.gz" if kind == "damaged gzip" else rng.choice(ENDINGS)
    form = rng.choice(FORMS)
    content = CHANGES[kind]([row(form, i) for i in range(10)], ending, rng)
    if ending == ".jsonl.gz" and kind != "damaged gzip":
        content = gzip.compress(content, mtime=0)
    for old in folder.iterdir():
        old.unlink()
    file = folder / f"rows{ending}"
    file.write_bytes(content)
    must_fail = kind in MUST_FAIL or (kind == "a key twice" and "json" in ending)
    return Case(kind, ["data", str(file)], must_fail)


if __name__ == "__main__":
    sys.exit(
        main(
            mangled,
            __file__,
            cases=1000,
            command=lambda cases, seed: through_command(mangled, cases, seed),
        )
    )
