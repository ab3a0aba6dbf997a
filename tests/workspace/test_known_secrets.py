from __future__ import annotations

import base64
import json
import os
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

from halo_core import printing
from halo_core.events import EventLog
from halo_core.known_secrets import SHORTEST, hide_known, hide_known_in, holder_of, known_secrets
from halo_core.redact import redact
from halo_core.uri_credentials import encoded, uri_secrets, without_credentials

SECRET = 'pl4nted/se crët"?&<1'


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOME_TRACKING_TOKEN", SECRET)
    monkeypatch.setenv("NETRC", str(tmp_path / "no.netrc"))


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower().replace("cr%c3%ab", "cr%c3%ab"),
        quote(SECRET).replace("%20", "+").replace("/", "%2F"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        SECRET[:9] + "\n" + SECRET[9:],
        SECRET[:9] + "\r\n    " + SECRET[9:],
        json.dumps(SECRET[:9] + "\n" + SECRET[9:], ensure_ascii=False)[1:-1],
    ],
)
def test_a_known_secret_is_hidden_in_every_form(form: str) -> None:
    shown = hide_known(f"before {form} after")
    assert shown == "before *** after"
    assert redact(f"before {form} after") == shown


@pytest.mark.parametrize("user", ["", "a:", "an:", "ann:", "anna:"])
def test_a_known_secret_is_hidden_in_the_base64_of_a_header(user: str) -> None:
    token = base64.b64encode(f"{user}{SECRET}".encode()).decode()
    shown = hide_known(f"Authorization: Basic {token}")
    # At most the characters at its ends are left, which also depend on its neighbours.
    left = shown.removeprefix("Authorization: Basic ").replace("***", "")
    assert "***" in shown
    assert len(left.rstrip("=")) <= -(-len(user) * 8 // 6) + 2


@pytest.mark.parametrize(
    ("uri", "secrets"),
    [
        ("http://ann:opensesame@host:5000", ["ann:opensesame", "opensesame"]),
        ("http://ann:open/sesame@host:5000", ["ann:open/sesame", "open/sesame"]),
        ("http://ann:open sesame@host", ["ann:open sesame", "open sesame"]),
        ("http://ann:open?sesame@host", ["ann:open?sesame", "open?sesame"]),
        ("https://t0kent0ken@host/api", ["t0kent0ken"]),
        ("https://host/?token=opensesame&a=1", ["opensesame"]),
        ("https://host/?x=1&access_token=opensesame", ["opensesame"]),
        ("postgresql+psycopg2://ann:opensesame@host/runs", ["ann:opensesame", "opensesame"]),
        (
            "http://ann:open%2Fsesame@h",
            ["ann:open%2Fsesame", "open%2Fsesame", "ann:open/sesame", "open/sesame"],
        ),
    ],
    ids=count(),
)
def test_the_credentials_of_an_address_are_found_and_hidden(
    uri: str, secrets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uri_secrets(uri) == secrets
    for shown in (without_credentials(uri), without_credentials(uri, "")):
        assert not any(secret in shown for secret in secrets)
    monkeypatch.setenv("ANY_ADDRESS", uri)
    assert set(secrets) <= known_secrets()
    assert holder_of(secrets[-1]) == "the environment variable ANY_ADDRESS"
    assert "sesame" not in hide_known(f"no answer from {uri}")


@pytest.mark.parametrize(
    "uri",
    [
        "http://host:5000",
        "http://host:5000/model@main",
        "sqlite:///folder/a:b@c.db",
        "postgresql://ann@host/runs",
        "databricks://profile",
        "https://host/page?run=3#top",
        "https://host/?tokens=3",
    ],
)
def test_an_address_without_credentials_stays_as_it_is(uri: str) -> None:
    assert not uri_secrets(uri)
    assert without_credentials(uri) == without_credentials(uri, "") == encoded(uri) == uri


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SOME_KEY", "true"),
        ("SOME_KEY", "x" * (SHORTEST - 1)),
        ("SOME_KEY", "disabled"),
        ("SOME_KEY", os.__file__),
        ("SOME_WORD", "opensesame"),
        ("PWD", "/opensesame"),
    ],
)
def test_what_is_not_a_secret_is_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert hide_known(f"it is {value}") == f"it is {value}"


def test_the_passwords_of_netrc_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    path.write_text("machine host login ann password opensesame\n")
    assert hide_known("it is opensesame") == "it is ***"
    assert holder_of("opensesame") == "the netrc file"
    path.write_text("not a netrc file")
    os.utime(path, (1, 1))
    assert hide_known("it is opensesame") == "it is opensesame"


def test_a_tree_is_hidden_in_its_texts_and_names() -> None:
    tree = {SECRET: [SECRET, 1, None], "a": {"b": f"x{SECRET}"}}
    assert hide_known_in(tree) == {"***": ["***", 1, None], "a": {"b": "x***"}}


def test_nothing_printed_and_no_event_shows_a_known_secret(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    printing.say(f"it is {SECRET}")
    printing.warn(f"it is {SECRET}")
    both = capsys.readouterr()
    assert (both.out, both.err) == ("it is ***\n", "warning: it is ***\n")
    log = EventLog(tmp_path / "events.jsonl")
    log.append("warning", stage=None, message=f"it is {SECRET}")
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] == "it is ***"
