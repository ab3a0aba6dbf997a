"""Reads YAML 1.2 as data only, and remembers the place of every key and value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner, ScannerError

from halo_core.errors import HaloError, PathError, SpecErrors, UserError, nearest
from halo_core.plugins.allowed_files import check_allowed
from halo_core.plugins.local_file import absolute_name, file_and_attribute
from halo_core.printing import shortened
from halo_core.redact import redact, redact_setting
from halo_core.spec.remembered import Remembered
from halo_core.spec.spec_bytes import spec_bytes
from halo_core.workspace.user_paths import encoding_problem

Keys = tuple[str | int, ...]
MAX_NODES = 100_000
CACHED = 100_000
"""Largest number of characters of all texts whose nodes are kept for the next reading. Nodes take
many times as much memory: 5,000 keys in 93,591 characters take 6 MB."""
MAX_BYTES = 10_000_000
MAX_DEPTH = 100
"""Maximum number of open brackets. The scanner's time grows with its square."""
LONGEST_KEY = 200
LARGEST = 2**63 - 1
SHOWN = 200
"""Number of characters that a message shows of an option of the command line."""
_TYPES = {"int": "a number", "float": "a number", "timestamp": "a date", "bool": "true or false"}
_COLLECTIONS: Mapping[type[Node], str] = {
    MappingNode: "tag:yaml.org,2002:map",
    SequenceNode: "tag:yaml.org,2002:seq",
}
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""Characters that an escape in a quoted text can make, but that no file or path can have."""
TOO_DEEP = "nested too deeply; expected a few levels of lists and mappings"


class RoundStage(NamedTuple):
    """The round of a stage that `rounds` made.

    Attributes:
        number: The round, from 1.
        name: The id of the stage in the spec: ``kto`` for ``kto-2``.
    """

    number: int
    name: str


@dataclass
class Document:
    """A tree of plain values that knows the place of each.

    Attributes:
        name: The file's name, for messages.
        folder: The folder that relative paths in the file are relative to.
        tree: Mappings, lists, strings, numbers, booleans and None.
        places: Maps keys from the root to ``name:line:column`` or ``--set ...``.
        folders: Maps keys to the folder for relative paths below them, if it is not `folder`.
        removed: Maps the ids of stages that a cell of a matrix removed to what removed them.
        made: Maps the ids of stages that `rounds` made to their rounds.
        before: The tree before `rounds` made stages; None if it made none.
        is_file: Whether it is a file that may come from somebody else. It may then only name Python
            files in its folder and in allowed folders.
    """

    name: str
    folder: Path
    tree: dict[str, Any]
    places: dict[Keys, str] = field(default_factory=dict)
    folders: dict[Keys, Path] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    made: dict[str, RoundStage] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    is_file: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """The tree as given: the one before `rounds` made stages."""
        return self.tree if self.before is None else self.before

    def as_given(self, keys: Keys) -> Keys:
        """Returns the keys that a value has in the tree as given."""
        stage = self.made.get(str(keys[1])) if keys[:1] == ("stages",) and keys[1:] else None
        return keys if stage is None else ("stages", stage.name, *keys[2:])

    def name_in(self, reader: str, id_: str) -> str | None:
        """Returns the name that a stage has in the options of another stage.

        Args:
            reader: The id of the stage that names it.
            id_: The id of the stage. Those of other rounds have no name in a stage of a round.
        """
        stage, own = self.made.get(id_), self.made.get(reader)
        if stage is None:
            return id_
        number = own.number if own else max(made.number for made in self.made.values())
        return stage.name if stage.number == number else None if own else id_

    def locate(self, keys: Keys) -> str:
        """Returns the place of a value and its path, for messages."""
        place, path = self.place_of(keys), dotted(self.as_given(keys))
        return f"{place}: {path}" if place and path else place or self.name

    def place_of(self, keys: Keys) -> str | None:
        """Returns the place of a value. If it has none, returns that of the nearest parent."""
        keys = self.as_given(keys)
        for length in range(len(keys), -1, -1):
            if keys[:length] in self.places:
                return self.places[keys[:length]]
        return None

    def check_code(self, name: str, keys: Keys) -> None:
        """Checks that a ``file:`` component at these keys may be run.

        Raises:
            UserError: When it is outside of the document's folder and not allowed.
        """
        if self.is_file:
            folder = self.folder_of(keys)
            file, _ = file_and_attribute(absolute_name(name, folder))
            if file.name:  # Whoever imports it reports a name without a file.
                check_allowed(file, [self.folder, folder])

    def with_key_renamed(self, old: str, new: str) -> Document:
        """Returns a document in which a key of the tree has another name, at the same place."""

        def renamed(keys: Keys) -> Keys:
            return (new, *keys[1:]) if keys[:1] == (old,) else keys

        return replace(
            self,
            tree={new if key == old else key: value for key, value in self.tree.items()},
            places={renamed(keys): place for keys, place in self.places.items()},
            folders={renamed(keys): folder for keys, folder in self.folders.items()},
        )

    def folder_of(self, keys: Keys) -> Path:
        """Returns the folder that relative paths at these keys are relative to."""
        keys = self.as_given(keys)
        for length in range(len(keys), -1, -1):
            if keys[:length] in self.folders:
                return self.folders[keys[:length]]
        return self.folder


def dotted(keys: Keys) -> str:
    """Returns keys as they are written in `--set`.

    A key may be a secret by mistake: ``{api_key:sesame}`` without a blank is a key.

    >>> dotted(("data", "train", 0, "use")), dotted(("judge", "api_key:sesame"))
    ('data.train.0.use', 'judge.api_key:***')
    """
    return ".".join(redact(str(key)) for key in keys)


def read_document(path: Path) -> Document:
    """Returns the document in a file, or in what comes through a pipe; see `spec_bytes`.

    Raises:
        PathError: When the file cannot be read.
        SpecErrors: When it is not YAML, has duplicate keys, tags or other types, is not a mapping,
            or is nested too deeply for Python to read.
    """
    try:
        content = spec_bytes(path, MAX_BYTES + 1)
        text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
    except IsADirectoryError:
        raise PathError("this is a folder; expected a YAML file", location=str(path)) from None
    except FileNotFoundError:
        hint = " Write /dev/stdin for the standard input" if str(path) == "-" else _near(path)
        raise PathError(f"no such file.{hint}", location=str(path)) from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        problem = f"the byte 0x{byte:02x} is not UTF-8 text; save the file as UTF-8"
        raise PathError(problem, location=f"{path}:{line}") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror or error}; expected a YAML file"
        raise PathError(problem, location=shortened(str(path))) from error
    except ValueError as error:
        raise PathError(f"{error}; expected a YAML file", location=shortened(str(path))) from None
    if len(content) > MAX_BYTES:
        problem = f"more than {MAX_BYTES:,} bytes; expected a spec of a few pages"
        raise PathError(problem, location=str(path))
    whole = path.resolve()
    if (unrecordable := encoding_problem(whole)) is not None:
        raise PathError(unrecordable, location=str(whole))
    document = parse_document(text, name=path.name, folder=whole.parent)
    document.is_file = True
    return document


def _near(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    names = [p.name for p in folder.glob("*.y*ml")]
    near = nearest(path.name, names, cutoff=0.5)
    return f" Did you mean {folder / near[0]}?" if near else ""


def parse_document(text: str, *, name: str, folder: Path) -> Document:
    """Returns the document that a text holds; see `read_document`.

    Args:
        text: YAML 1.2.
        name: Name of the text in messages.
        folder: Folder that paths in it are relative to.

    Raises:
        SpecErrors: When it is not valid YAML, or not a mapping of plain values.
    """
    reader = _Reader(name)
    try:
        root = _composed(text)
        tree = reader.value(root, ()) if isinstance(root, MappingNode) else {}
    except _TooDeepError as error:
        place = f"{name}:{error.problem_mark.line + 1}:{error.problem_mark.column + 1}"
        raise SpecErrors([UserError(TOO_DEEP, location=place)]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = f"not valid YAML: {error.problem or error.context}"
        raise SpecErrors([UserError(shortened(problem), location=where)]) from None
    except ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise SpecErrors([UserError(_unreadable(error), location=f"{name}:{line}")]) from None
    except RecursionError:
        raise SpecErrors([UserError(TOO_DEEP, location=name)]) from None
    if not isinstance(root, MappingNode):
        mistake = UserError("expected a mapping with name, model and stages", location=name)
        raise SpecErrors([mistake])
    if reader.errors:
        raise SpecErrors(reader.errors)
    return Document(name, folder, tree, reader.places)


def _unreadable(error: ReaderError) -> str:
    return f"not valid YAML: the character {error.character!r} is not allowed; remove it"


def parse_value(text: str) -> Any:
    """Returns the plain value of a short YAML text, as `--set` takes it.

    Raises:
        UserError: When it is not YAML, or is nested too deeply for Python to read.
    """
    # Callers change the value. A suite sets the same one in each of its cells.
    return deepcopy(_parsed(text))


def _parse(text: str) -> Any:
    reader = _Reader("value")
    try:
        node = _composed(text)
        value = None if node is None else reader.value(node, ())
    except _TooDeepError:
        raise UserError(TOO_DEEP) from None
    except MarkedYAMLError as error:
        problem = f"not valid YAML: {error.problem or error.context}"
        raise UserError(shortened(problem)) from None
    except ReaderError as error:
        raise UserError(_unreadable(error)) from None
    except RecursionError:
        raise UserError(TOO_DEEP) from None
    if reader.errors:
        raise UserError(reader.errors[0].message)
    return value


_parsed = Remembered(_parse, CACHED)


class _TooDeepError(ScannerError):
    """More open brackets than `MAX_DEPTH`."""


class _Scanner(Scanner):
    def fetch_flow_collection_start(self, *token: Any, **more: Any) -> None:
        super().fetch_flow_collection_start(*token, **more)
        if len(self.flow_context) > MAX_DEPTH:
            raise _TooDeepError(problem=TOO_DEEP, problem_mark=self.reader.get_mark())

    def scan_flow_scalar_non_spaces(self, *arguments: Any, **more: Any) -> Any:
        try:
            return super().scan_flow_scalar_non_spaces(*arguments, **more)
        except (ValueError, OverflowError):
            problem = "an escape that is not a character of Unicode; remove it"
            raise ScannerError(problem=problem, problem_mark=self.reader.get_mark()) from None


def _composed(text: str) -> Node | None:
    """Returns the nodes of a text, which nobody changes. ruamel.yaml takes 50 us for each."""
    return _cached_nodes(text)


def _nodes(text: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Scanner
    node: Node | None = yaml.compose(text)
    return node


_cached_nodes = Remembered(_nodes, CACHED)


class _Reader:
    """Turns nodes into plain values, and collects places and mistakes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.yaml = YAML(typ="safe", pure=True)
        self.places: dict[Keys, str] = {}
        self.errors: list[HaloError] = []
        self._count = 0

    def value(self, node: Node, keys: Keys) -> Any:
        self._count += 1
        # With aliases of aliases, a few lines can make a tree of any size.
        if self._count > MAX_NODES:
            problem = f"more than {MAX_NODES:,} values, aliases included: too large"
            raise SpecErrors([UserError(problem, location=self._at(node))])
        # If a value has a key, `_mapping` has set the key's place, because people look for the key.
        self.places.setdefault(keys, self._at(node))
        if str(node.tag) != _COLLECTIONS.get(type(node), str(node.tag)):
            self._mistake(node, keys, f"the tag {node.tag} is not allowed: specs are data only")
        if isinstance(node, MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*keys, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, keys)

    def _mapping(self, node: MappingNode, keys: Keys) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            # `<<` merged mappings in YAML 1.1; in 1.2, which specs are, it means nothing.
            if not isinstance(key, str) or key == "<<" or _NO_TEXT.search(key):
                self._mistake(key_node, keys, "a key must be plain text")
            elif len(key) > LONGEST_KEY:
                problem = f"a key of {len(key):,} characters; expected at most {LONGEST_KEY}"
                self._mistake(key_node, keys, problem)
            elif key in result:
                self._mistake(key_node, (*keys, key), "this key is given twice; keep one")
            else:
                self.places[(*keys, key)] = self._at(key_node)
                result[key] = self.value(value_node, (*keys, key))
        return result

    def _scalar(self, node: Node, keys: Keys) -> Any:
        try:
            value = self.yaml.constructor.construct_object(node, deep=True)
        except Exception:
            self._mistake(node, keys, _unread(node))
            return None
        if isinstance(value, str) and (found := _NO_TEXT.search(value)):
            problem = f"the escape {ascii(found[0])[1:-1]} is not a character of text; remove it"
            self._mistake(node, keys, problem)
            return None
        if isinstance(value, int | float) and (problem := _beyond(value, node)):
            self._mistake(node, keys, problem)
            return None
        if value is None or isinstance(value, bool | int | float | str):
            return value
        problem = f"{shortened(repr(node.value), SHOWN)} reads as a {type(value).__name__}"
        self._mistake(node, keys, f"{problem}; quote it")
        return None

    def _at(self, node: Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"

    def _mistake(self, node: Node, keys: Keys, message: str) -> None:
        place = f"{self._at(node)}: {dotted(keys)}"
        self.errors.append(UserError(redact(message), location=place))


def _unread(node: Node) -> str:
    """Returns why a scalar has no value."""
    kind = _TYPES.get(str(node.tag).removeprefix("tag:yaml.org,2002:"))
    if kind is None:
        return f"the tag {node.tag} is not allowed: specs are data only"
    return f"{shortened(repr(node.value), SHOWN)} cannot be read as {kind}; quote it if it is text"


def _beyond(value: float, node: Node) -> str:
    """Returns what is wrong with a number that is too large; "" if it is not."""
    written = shortened(repr(node.value), SHOWN)
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        return f"{written} is a whole number of more than 64 bits; quote it if it is text"
    # YAML writes infinity as `.inf`.
    if value in (inf, -inf) and "inf" not in node.value.lower():
        return f"{written} is too large for a number; quote it if it is text"
    return ""


def apply_overrides(document: Document, overrides: Mapping[str, str]) -> None:
    """Sets values by dotted path, as `--set path=value` does.

    If an option is set of a component that is a bare name, the name becomes ``{use: name}``.

    Raises:
        SpecErrors: When a path cannot be followed or a value is not YAML.
    """
    errors: list[HaloError] = []
    for path, text in overrides.items():
        where = shortened(f"--set {redact_setting(f'{path}={text}')}", SHOWN)
        try:
            keys = set_value(document, path, parse_value(text), where)
        except UserError as error:
            errors.append(UserError(error.message, location=where))
            continue
        # A path given on the command line is relative to the current folder.
        document.folders[keys] = Path.cwd()
    if errors:
        raise SpecErrors(errors)


def set_value(document: Document, path: str, value: Any, place: str) -> Keys:
    """Sets one value by its dotted path and returns its keys.

    Args:
        document: The document to change.
        path: The dotted path. Missing mappings on the way are created.
        value: A plain value.
        place: The place of the value and of the mappings that are created.

    Raises:
        UserError: When the path cannot be followed.
    """
    keys: Keys = ()
    node: Any = document.tree
    made: list[Keys] = []
    *parents, last = path.split(".")
    for position, part in enumerate(parents):
        key = _key(node, part)
        keys = (*keys, key)
        made += [keys] if isinstance(node, dict) and key not in node else []
        following = [*parents[position + 1 :], last][0]
        node = _descend(node, key, following)
    key = _key(node, last)
    node[key] = value
    keys = (*keys, key)
    forget_places(document, keys)
    document.places.update(dict.fromkeys([*made, keys], place))
    return keys


def forget_places(document: Document, keys: Keys) -> None:
    """Forgets the places of a value and of all values below it."""
    for known in [k for k in document.places if k[: len(keys)] == keys]:
        del document.places[known]


def _descend(node: Any, key: str | int, following: str) -> Any:
    if isinstance(node, dict) and key not in node:
        node[str(key)] = {}
    child = node[key]
    if isinstance(child, str):
        child = {"use": child}
        node[key] = child
    elif child is None:
        child = {}
        node[key] = child
    # A single source may be written without a list. Position 0 is then the source itself.
    if isinstance(child, dict) and following == "0" and "use" in child:
        child = [child]
        node[key] = child
    if not isinstance(child, dict | list):
        raise UserError(redact(f"{key!r} is {child!r}, which has nothing below it"))
    return child


def _key(node: Any, part: str) -> str | int:
    if not isinstance(node, list):
        return part
    if not part.isdigit() or int(part) >= len(node):
        raise UserError(f"{part!r} is not a position in this list of {len(node)} (from 0)")
    return int(part)
