"""Messages name the proxy between this machine and an endpoint."""

import socket
import sys

import pytest

from halo_core.endpoints.proxies import proxy_of, through
from halo_core.errors import UserError
from halo_core.judge import Comparison, JudgeContext
from halo_core.scoring_judge import Answer
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.http.options import HttpJudge
from halo_judge.testing import ChatServer

PROMPT = [{"role": "user", "content": "q"}]
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def closed_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def compare(base_url, folder):
    judge = GPT4(base_url=base_url, api_key_env=None, retries=0, timeout_s=60.0)
    with judge.open(JudgeContext(folder, folder)) as session:
        (verdict,) = session.compare([Comparison("1", PROMPT, "a", "b")])
    return verdict.winner, verdict.reason


def score(base_url, folder):
    judge = HttpJudge(
        url=f"{base_url}/chat/completions",
        body={"model": "m", "messages": "{conversation}", "n": "{completion}"},
        score="usage.prompt_tokens",
        retries=0,
        timeout_s=60.0,
    )
    with judge.open_scoring(JudgeContext(folder, folder)) as session:
        (found,) = session.score([Answer("1", PROMPT, "a")])
    return found.value, found.reason


ASK = pytest.mark.parametrize("ask", [compare, score])
VERDICT = '{"comparison": "", "verdict": "A"}'


@ASK
def test_a_dead_proxy_is_named_without_its_password(tmp_path, monkeypatch, ask):
    port = closed_port()
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:sesame@127.0.0.1:{port}")
    result, reason = ask("http://judge.example/v1", tmp_path)
    assert result is None
    assert f"; it was asked through the proxy http://***@127.0.0.1:{port} (HTTP_PROXY)" in reason
    assert "Connection refused" in reason
    assert "sesame" not in reason


@ASK
@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
def test_a_socks_proxy_without_its_package_is_an_error_before_anything_is_asked(
    tmp_path, monkeypatch, ask, variable
):
    monkeypatch.setenv(variable, "socks5://ann:sesame@127.0.0.1:9")
    with pytest.raises(UserError) as error:
        ask("http://judge.example/v1", tmp_path)
    module, package = ("socksio", "httpx2") if ask is compare else ("socks", "requests")
    assert error.value.message == (
        f"the proxy socks5://***@127.0.0.1:9 ({variable}) needs the package {module}: pip install "
        f"'{package}[socks]'. Unset the variable, or name the endpoint's host in NO_PROXY, to ask "
        "the endpoint directly"
    )


@ASK
@pytest.mark.parametrize("address", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_is_not_for_this_endpoint_does_no_harm(tmp_path, monkeypatch, ask, address):
    monkeypatch.setenv("ALL_PROXY", address)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ChatServer(lambda body: VERDICT) as server:
        result, _ = ask(server.base_url, tmp_path)
    assert result is not None


def test_a_proxy_with_an_unknown_scheme_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the proxy gopher://127.0.0.1:9 \(ALL_PROXY\) cannot be"):
        compare("http://judge.example/v1", tmp_path)


@ASK
def test_a_proxy_that_wants_a_password_stops_the_stage(tmp_path, monkeypatch, ask):
    with ChatServer(lambda body: VERDICT, faults=lambda body, times: "proxy-407") as proxy:
        address = proxy.base_url.removesuffix("/v1")
        monkeypatch.setenv("HTTP_PROXY", address)
        with pytest.raises(UserError) as error:
            ask("http://judge.example/v1", tmp_path)
    assert "407" in error.value.message
    assert "the proxy wants a user and a password: write them into the address of the proxy" in (
        error.value.message
    )
    assert f"the proxy {address} (HTTP_PROXY)" in error.value.message


@ASK
def test_an_error_of_a_proxy_names_the_proxy(tmp_path, monkeypatch, ask):
    with ChatServer(lambda body: VERDICT, faults=lambda body, times: "proxy-502") as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        result, reason = ask("http://judge.example/v1", tmp_path)
    assert result is None
    assert "502 Bad Gateway" in reason
    assert "; it was asked through the proxy http://127.0.0.1:" in reason
    assert "(http_proxy)" in reason


@ASK
def test_a_proxy_that_works_is_used(tmp_path, monkeypatch, ask):
    with ChatServer(lambda body: VERDICT) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.base_url.removesuffix("/v1"))
        result, _ = ask("http://judge.example/v1", tmp_path)
    assert result is not None


def test_without_a_proxy_none_is_named(monkeypatch):
    assert (proxy_of("http://host/v1"), through("http://host/v1")) == (None, "")
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    assert proxy_of("http://host/v1") is None
    assert str(proxy_of("https://host/v1")) == "the proxy http://proxy.example:3128 (HTTPS_PROXY)"
    monkeypatch.setenv("NO_PROXY", "host")
    assert proxy_of("https://host/v1") is None


def test_the_packages_for_socks_are_not_needed_without_such_a_proxy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    with ChatServer(lambda body: VERDICT) as server:
        assert compare(server.base_url, tmp_path)[0] == "A"
