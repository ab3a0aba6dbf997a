"""A stand-in for the hub: serves folders on this machine as the data sets of a hub.

It offers the parts of the hub's interface that `huggingface_hub` and `datasets` use: the
description of a data set, its files, and their content, whole or in ranges.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "ab" * 20
REPOSITORY = r"([^/]+/[^/]+)"


@contextmanager
def hub_of(root: Path) -> Iterator[str]:
    """Serves ``root/OWNER/NAME/...`` and yields the address for ``HF_ENDPOINT``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, root))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, *given: Any) -> None:
        self.root = root
        super().__init__(*given)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(rf"/api/datasets/{REPOSITORY}(?:/revision/(.+))?", path):
            self._about(found[1], found[2])
        elif found := re.fullmatch(rf"/api/datasets/{REPOSITORY}/tree/[^/]+/?(.*)", path):
            self._tree(self.root / found[1], found[2])
        elif found := re.fullmatch(rf"/datasets/{REPOSITORY}/resolve/[^/]+/(.*)", path):
            self._file(self.root / found[1] / found[2])
        else:
            self._reply(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(rf"/api/datasets/{REPOSITORY}/paths-info/[^/]+", path):
            base = self.root / found[1]
            there = [base / name for name in body["paths"] if (base / name).exists()]
            self._json([_entry(base, path) for path in there])
        else:
            self._reply(404, b"{}")

    def _about(self, repository: str, revision: str | None) -> None:
        if not (self.root / repository).is_dir():
            self._reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", COMMIT):
            self._reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._json({"id": repository, "sha": COMMIT, "private": False, "siblings": []})

    def _tree(self, base: Path, below: str) -> None:
        folder = base / below
        if not folder.is_dir():
            self._reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        deep = "recursive=true" in self.path.lower()
        paths = folder.rglob("*") if deep else folder.iterdir()
        self._json([_entry(base, path) for path in sorted(paths)])

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._reply(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": COMMIT}
        if asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(asked[1]), int(asked[2] or len(content) - 1)
            part = content[start : end + 1]
            headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
            self._reply(206, part, headers)
        else:
            self._reply(200, content, headers)

    def _json(self, value: Any) -> None:
        self._reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(base: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(base).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _digest(path), "size": path.stat().st_size}


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()
