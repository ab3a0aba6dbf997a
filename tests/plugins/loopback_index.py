"""A package index on this machine with wheels that are made in the test, for pip."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PLUGIN = '''\
from typing import ClassVar

from pydantic import Field

from halo_core import Judge, hookimpl


class Fair(Judge):
    """Flips a coin."""

    citation: ClassVar[str] = "Laplace (1812)"
    odds: float = Field(default=0.5, gt=0, lt=1, description="Share of the first text.")

    def open(self, context):
        raise NotImplementedError


@hookimpl
def halo_register(registry):
    registry.judge("fair", "halo_exo_plugin:Fair")
'''


def wheel(
    name: str,
    version: str,
    source: str = PLUGIN,
    *,
    requires: str = "halo-core>=0.1",
    more: str = "",
) -> bytes:
    """Returns a wheel with one module, which is a plugin if it registers something.

    Args:
        name: The distribution.
        version: Its version.
        source: The source of the module.
        requires: Its requirement.
        more: More lines of its metadata.
    """
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        f"Summary: A fair coin as a judge\nAuthor: Ann Exo\nLicense-Expression: MIT\n{more}"
    )
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    files = {
        f"{package}_plugin.py": source,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if "halo_register" in source:
        files[f"{info}/entry_points.txt"] = f"[halo]\nplugin = {package}_plugin\n"
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{path},sha256={digest.decode()},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return content.getvalue()


def wheel_name(name: str, version: str) -> str:
    """Returns the name of the file of a wheel."""
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


FILE, WHEEL = wheel_name("halo-exo", "1.0"), wheel("halo-exo", "1.0")
"""The name and the content of the wheel that most tests install."""


@contextmanager
def serving(
    files: Mapping[str, bytes], hashes: Mapping[str, str] = {}, status: int = 404
) -> Iterator[str]:
    """Serves files, among them wheels as a simple index below ``/simple/``.

    Args:
        files: The contents by the names of the files.
        hashes: The hash that the index states for a file, instead of its own.
        status: The status for what is not there.

    Yields:
        The address of the server, without a slash at its end.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, *parts = self.path.split("/")
            if parts[:1] == ["simple"] and len(parts) > 1:
                self._answer(_links(parts[1], files, hashes), "text/html")
            elif parts[-1] in files:
                self._answer(files[parts[-1]], "application/octet-stream")
            else:
                self.send_error(status)

        def _answer(self, content: bytes, kind: str) -> None:
            if not content:
                self.send_error(status)
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _links(name: str, files: Mapping[str, bytes], hashes: Mapping[str, str]) -> bytes:
    """Returns the page of a distribution; empty if there is no file of it."""
    lines = []
    for file, content in files.items():
        if file.partition("-")[0] == name.replace("-", "_"):
            digest = hashes.get(file) or hashlib.sha256(content).hexdigest()
            lines.append(f'<a href="/files/{file}#sha256={digest}">{file}</a>')
    return "\n".join(lines).encode()
