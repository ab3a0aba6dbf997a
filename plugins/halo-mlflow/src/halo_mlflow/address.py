"""Finds out, without a connection, that an address can never be that of a store of MLflow."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

EXPECTED = "expected http://host:port, https://..., sqlite:///file.db or another database"
FOLDERS = f"{EXPECTED}; MLflow no longer keeps runs in plain folders"
_SCHEME = re.compile(r"([a-z][a-z0-9.-]*)(\+[a-z0-9]+)?://.+")
_DATABASES = ("postgresql", "mysql", "mssql")
_HOSTED = ("databricks", "databricks-uc")
_HEADER = b"SQLite format 3\0"


def address_problem(uri: str) -> str | None:
    """Returns what is wrong with the address of a store; None if MLflow can use it.

    The text does not repeat the address, because it may contain a password.

    >>> address_problem("http://localhost:5000"), address_problem("databricks://profile")
    (None, None)
    >>> address_problem("http://localhost:99999")
    'the port is not a number from 0 to 65535; expected http://host:port'
    """
    if uri in _HOSTED:
        return None
    if (match := _SCHEME.fullmatch(uri)) is None or uri.startswith("file:"):
        return FOLDERS
    scheme = match[1]
    if scheme == "sqlite":  # Only the name of a file may contain blanks.
        return _problem_of_file(uri)
    if re.search(r"\s", uri):
        return f"contains a blank; {EXPECTED}"
    if scheme in ("http", "https"):
        return _problem_of_server(uri)
    if scheme in _DATABASES:
        return _problem_of_driver(uri)
    if scheme in _HOSTED or entry_points(group="mlflow.tracking_store", name=scheme):
        return None
    return f"MLflow has no store for {scheme}://; {EXPECTED}"


def _problem_of_server(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
    except ValueError as error:  # as in http://[::1
        return f"{error}; expected http://host:port"
    try:
        port = parts.port
    except ValueError:
        port = -1
    if port == -1:
        return "the port is not a number from 0 to 65535; expected http://host:port"
    return None if parts.hostname else "names no host; expected http://host:port"


def _problem_of_file(uri: str) -> str | None:
    _, slashes, name = uri.partition(":///")
    name = unquote(name.partition("?")[0])
    if not slashes or not name:
        return "expected sqlite:///file.db, or sqlite:////folder/file.db for an absolute path"
    if name == ":memory:":
        return "this database is lost with its process; expected sqlite:///file.db"
    file = Path(name)
    if file.is_dir():
        return f"{file} is a folder; expected a file, as in sqlite:///file.db"
    if file.is_file():
        with file.open("rb") as opened:
            start = opened.read(len(_HEADER))
        if start and start != _HEADER:
            return f"{file} is not a database of SQLite; name another file"
    return None


def _problem_of_driver(uri: str) -> str | None:
    # SQLAlchemy comes with MLflow, and takes a third of a second.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        return f"the Python package {error.name} is not installed, which this database needs"
    except SQLAlchemyError:
        return "SQLAlchemy cannot read it; expected DATABASE+DRIVER://host:port/name"
    return None
