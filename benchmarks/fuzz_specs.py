"""Gives mangled specs to `halo validate`.

    python benchmarks/fuzz_specs.py [--cases 10000] [--real 100] [--seed 0] [--only NUMBER]

Each case is one of halo's own examples with one change: to its text (characters that YAML forbids,
encodings, brackets without end), or to one value, key or ``--set`` of it (tags, aliases, wrong
types, huge numbers, odd names and paths). The changes depend only on the seed and the number of the
case. `fuzz_cases.py` says which ends are faults. If there are any, the exit code is 1. 10,000 cases
take about 15 minutes.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_cases import Case, main, through_command
from ruamel.yaml import YAML

EXAMPLES = Path(__file__).parents[1] / "examples"
BASES = ("quickstart", "hh-sft-dpo", "pythia-sft-kto", "imbalance-toy")
HERE = "the place of the value"
MARK = json.dumps(HERE)

Change = Callable[[str, random.Random], bytes]


def inserted(what: str | bytes) -> Change:
    """Inserts a text at a random place."""
    raw = what.encode() if isinstance(what, str) else what

    def change(text: str, rng: random.Random) -> bytes:
        given = text.encode()
        at = rng.randrange(len(given))
        return given[:at] + raw + given[at:]

    return change


def encoded(encoding: str, added: str = "") -> Change:
    """Writes the text in another encoding."""
    return lambda text, rng: (text + added).encode(encoding)


def written(line_end: str) -> Change:
    """Writes the text with other line ends."""
    return lambda text, rng: text.replace("\n", line_end).encode()


def added(what: str) -> Change:
    """Adds a text at the end."""
    return lambda text, rng: f"{text}\n{what}\n".encode()


def cut(text: str, rng: random.Random) -> bytes:
    """Cuts the text anywhere, also within a character."""
    raw = (text + "# \u00e9\u4e16\n").encode()
    return raw[: rng.randrange(len(raw))]


def repeated(text: str, rng: random.Random) -> bytes:
    """Gives a top-level key twice."""
    return f"{text}\n{rng.choice(('name', 'seed', 'stages'))}: 1\n".encode()


TEXTS: dict[str, tuple[Change, bool]] = {
    "a control character": (inserted("\x07"), True),
    "an escape sequence": (inserted("\x1b[31m"), True),
    "NUL": (inserted("\0"), True),
    "U+FFFE": (inserted("\ufffe"), True),
    "U+FFFF": (inserted("\uffff"), True),
    "half a surrogate pair": (inserted(b"\xed\xa0\x80"), True),
    "bytes that are not UTF-8": (inserted(b"\xff\xc3"), True),
    "a byte order mark": (encoded("utf-8-sig"), False),
    "a byte order mark within": (inserted("\ufeff"), False),
    "UTF-16": (encoded("utf-16"), False),
    "UTF-32": (encoded("utf-32"), False),
    "Latin-1": (encoded("latin-1", "# caf\u00e9\n"), True),
    "EBCDIC": (encoded("cp500"), True),
    "cut": (cut, False),
    "a tab": (inserted("\t"), False),
    "a carriage return": (inserted("\r"), False),
    "next line": (inserted("\x85"), False),
    "line separator": (inserted("\u2028"), False),
    "bidi control": (inserted("\u202e"), False),
    "a document end": (inserted("\n---\n"), False),
    "a directive": (lambda text, rng: b"%YAML 9.9\n---\n" + text.encode(), False),
    "500 brackets": (inserted("[" * 500), False),
    "line ends of Windows": (written("\r\n"), False),
    "line ends of old Macs": (written("\r"), False),
    "UTF-16 without its mark": (encoded("utf-16-le"), True),
    "an alias into another document": (added("x: &a 1\n---\ny: *a"), True),
    "1,000 documents": (added("---\n" * 1000), True),
    "a comment of a million characters": (added(f"# {'c' * 1_000_000}"), False),
    "3,000 top-level keys": (added("\n".join(f"k{i}: {i}" for i in range(3000))), True),
    "deep block nesting": (
        added("x:\n" + "".join(f"{' ' * i}a:\n" for i in range(1, 700))),
        True,
    ),
    "deep lists in a line": (added(f"x:\n  {'- ' * 2000}1"), True),
    "deep keys in a line": (added(f"x:\n  {'? ' * 2000}1"), True),
    "3,000 anchors": (
        added("x: [" + ", ".join(f"&a{i} {i}" for i in range(3000)) + "]"),
        True,
    ),
    "a tag directive": (lambda text, rng: b"%TAG ! tag:x,1:\n---\n" + text.encode(), False),
    "a key twice": (repeated, True),
}

_MANY = "[" + ", ".join(["x"] * 10)
VALUES: dict[str, tuple[str, ...]] = {
    "deep nesting": (
        "[" * 500 + "]" * 500,
        '{"a": ' * 500 + "1" + "}" * 500,
        "[" * 5000 + "]" * 5000,
    ),
    "a tag on a collection": (
        "!foo [1]",
        "!foo {a: 1}",
        "!!set {a: null}",
        "!!omap [a: 1]",
        "!!python/tuple [1]",
        "!!map [1]",
        "!!seq {a: 1}",
        "!!str [a]",
    ),
    "a tag on a valid collection": ("!foo ITSELF", "!!set ITSELF", "!!python/dict ITSELF"),
    "a tag on a scalar": (
        "!foo x",
        "!!binary aGk=",
        "!!int abc",
        "!!float x",
        "!!timestamp x",
        "!!bool maybe",
        "!!null x",
        "!!python/name:os.system x",
        "! 1",
    ),
    "an alias of itself": ("&a [*a]", "&a {b: *a}", "&a [[[*a]]]", "&a {use: *a}"),
    "an unknown alias": ("*nowhere", "[*nowhere]"),
    "aliases of aliases": (
        f"[&a {_MANY}], &b [*a, *a, *a, *a, *a, *a, *a], &c [*b, *b, *b, *b, *b, *b, *b], "
        "&d [*c, *c, *c, *c, *c, *c, *c], &e [*d, *d, *d, *d, *d, *d, *d], [*e, *e, *e, *e]]",
    ),
    "a key twice below": ("{use: kto, use: kto}", "{a: 1, a: 2}"),
    "a key that is not a text": ("{? [1, 2] : 3}", "{? {a: 1} : 2}", "{1: 2}", "{null: 1}"),
    "an odd key within": (
        "{1.5: 2}",
        "{.nan: 1, .nan: 2}",
        "{1e400: 1}",
        "{2001-01-01: 1}",
        "{true: 1}",
        "{!!binary aGk=: 1}",
        "{? : 1}",
        "{[]: 1}",
        "{-0.0: 1, 0: 2}",
        "{1: a, 1.0: b, true: c}",
        '{"a": 1, a: 2}',
        "{" + "9" * 6000 + ": 1}",
    ),
    "many keys": (
        "{" + ", ".join(f"k{i}: {i}" for i in range(3000)) + "}",
        "[" + ", ".join(["{a: 1}"] * 3000) + "]",
    ),
    "a long text": (f'"{"t" * 1_000_000}"', "u" * 1_000_000, "'" + "v w " * 100_000 + "'"),
    "doubled aliases": (
        "[&a0 [x], " + ", ".join(f"&a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)) + "]",
        "&b0 {a: 1}",
        "[&c {a: 1}, {<<: *c}, {<<: [*c, *c]}, {<<: *c, <<: *c}]",
        "[&d {<<: *d}]",
    ),
    "a merge key": ("{<<: {a: 1}}", "{<<: [1]}", "<<", "="),
    "a huge number": (
        "1" + "0" * 400,
        "-" + "9" * 6000,
        "1e400",
        "-1e999",
        "0x" + "f" * 6000,
        "1" * 20,
        "1e-400",
        "0b" + "1" * 30_000,
        "0o" + "7" * 10_000,
        "1" + "_0" * 6000,
        "1" * 400 + ".5",
        "!!int '" + "9" * 6000 + "'",
        "!!float '1e400'",
        "190:20:30" + ":59" * 500,
        "0." + "0" * 5000 + "1",
    ),
    "an odd number": (
        ".nan",
        ".inf",
        "-.inf",
        "1_000",
        "0o777",
        "-0",
        "+1",
        "1e3",
        "0x",
        "1.",
        ".",
    ),
    "a date": ("2001-01-01", "2001-13-45", "2001-01-01T00:00:00Z", "12:30:45", "99999-01-01"),
    "another type": ("null", "true", "[]", "{}", '""', '" "', "[[]]", "[null]", "{a: null}", "-1"),
    "an escaped character": (
        r'"\ud800"',
        r'"\ud83d\ude00"',
        r'"\udc00\ud800"',
        r'"\0"',
        r'"\x1b[31m"',
        r'"\u202e"',
        r'"\ufffe"',
        r'"\x07\x85\u2028"',
        r'"\UFFFFFFFF"',
        r'"\q"',
    ),
    "a path": (
        r'"a\0b"',
        r'{path: "a\0b"}',
        f'{{path: "{"x" * 5000}"}}',
        f'"{"y/" * 3000}"',
        "~nobody-here/x",
        "{path: ~nobody-here/x}",
        "{path: /dev/zero}",
        "/dev/zero",
        "{path: /proc/self/mem}",
        "{path: /}",
        r'{path: "\ud800"}',
        r'{path: "\x1b]0;x\x07"}',
        '{path: ""}',
    ),
    "a component in a file": (
        r'{use: "file:a\0b.py:C"}',
        "{use: 'file:/dev/null:C'}",
        "{use: 'file:.:C'}",
        "{use: 'file:'}",
        "{use: 'file:::'}",
        "{use: 'file:~nobody-here/a.py:C'}",
        f"{{use: 'file:{'z' * 5000}.py:C'}}",
        r'{use: "file:\ud800.py:C"}',
        "{use: 'file:quickstart.yaml:C'}",
    ),
    "an odd name": (
        f'"{"n" * 5000}"',
        f"{{use: {'u' * 5000}}}",
        "{use: {use: {use: x}}}",
        "{use: [kto]}",
        "{use: null}",
        "{use: ''}",
        "{use: ../../x}",
        "{use: halo/halo/halo}",
        "'@kto'",
        "'#'",
        "a/b",
        "kto==1.0",
    ),
}
NEVER = (
    "a tag on a collection",
    "a tag on a valid collection",
    "an alias of itself",
    "an unknown alias",
    "a key twice below",
)
"""Kinds that are wrong wherever they stand."""
KEYS = (
    r"\ud800",
    r"\0",
    r"\x1b[31m",
    "k" * 5000,
    "a.b",
    "..",
    "",
    " ",
    "<<",
    "use",
    "0",
    r"\u202e",
)
PATHS = ("stages.sft", "data.train", "seed", "a..b", "stages", "name.x.y", "data.train.0.use", ".")


@cache
def base(name: str) -> tuple[str, Any]:
    """Returns the text and the tree of an example."""
    text = (EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")
    return text, YAML(typ="safe", pure=True).load(text)


def mangled(seed: int, number: int, folder: Path) -> Case:
    """Writes the spec of a case, and returns the case."""
    rng = random.Random(f"{seed} {number}")
    name = rng.choice(BASES)
    text, tree = base(name)
    if not (folder / "quickstart.yaml").exists():
        shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True)
    file = folder / "mangled.yaml"
    arguments = ["validate", str(file)]
    kinds = [*TEXTS, *VALUES, "an odd key", "an odd --set"]
    kind = kinds[number % len(kinds)]
    if kind in TEXTS:
        change, must_fail = TEXTS[kind]
        file.write_bytes(change(text, rng))
        return Case(kind, arguments, must_fail)
    if kind == "an odd key":
        file.write_text(_with_key(tree, rng), encoding="utf-8")
        return Case(kind, arguments)
    raw = rng.choice(VALUES[kind] if kind in VALUES else rng.choice(list(VALUES.values())))
    if kind in VALUES:
        file.write_text(_with_value(tree, raw, rng), encoding="utf-8")
        return Case(kind, arguments, kind in NEVER)
    file.write_text(text, encoding="utf-8")
    path = rng.choice((*PATHS, ".".join(map(str, rng.choice(_places(tree))))))
    # Linux limits the length of one argument.
    return Case(kind, [*arguments, "--set", f"{path}={raw[:100_000]}"])


def _places(tree: Any, keys: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Returns the keys of all values of a tree."""
    items: Any = ()
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, list):
        items = enumerate(tree)
    found = [(*keys, key) for key, _ in items]
    return found + [place for key, value in items for place in _places(value, (*keys, key))]


def _with_value(tree: Any, raw: str, rng: random.Random) -> str:
    """Returns a spec in which one value is replaced by a text of YAML."""
    places, copy = _places(tree), json.loads(json.dumps(tree))
    if "ITSELF" in raw:
        places = [place for place in places if isinstance(_at(tree, place), dict | list)]
    *parents, last = rng.choice(places)
    node = _at(copy, parents)
    raw = raw.replace("ITSELF", json.dumps(node[last]))
    node[last] = HERE
    return json.dumps(copy, indent=1).replace(MARK, raw)


def _at(tree: Any, keys: Sequence[str | int]) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def _with_key(tree: Any, rng: random.Random) -> str:
    """Returns a spec in which one key has another name."""
    places = [place for place in _places(tree) if isinstance(place[-1], str)]
    *parents, last = rng.choice(places)
    copy = json.loads(json.dumps(tree))
    node = _at(copy, parents)
    node[HERE] = node.pop(last)
    return json.dumps(copy, indent=1).replace(MARK, f'"{rng.choice(KEYS)}"')


if __name__ == "__main__":
    sys.exit(
        main(
            mangled,
            __file__,
            cases=10_000,
            command=lambda cases, seed: through_command(mangled, cases, seed),
        )
    )
