"""Headers from the environment go to OpenAI, and to no other server."""

import pytest

from halo_judge.judges.chat.chat_client import ChatClient
from halo_judge.judges.endpoint.pace import Pace
from halo_judge.judges.endpoint.secret import Secret

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "parameters": {}}
REPLY = {
    "choices": [{"message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}],
    "model": "m",
}
PLANTED = "planted-0123456789"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", f"org-{PLANTED}")
    monkeypatch.setenv("OPENAI_PROJECT_ID", f"proj-{PLANTED}")
    custom = f"X-Gateway-Key: {PLANTED}\nAuthorization: Bearer {PLANTED}"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", custom)


def test_another_server_gets_the_key_of_the_judge_and_nothing_of_the_environment(serve):
    server = serve(lambda body: REPLY)
    address = server.url.removesuffix("/score")
    client = ChatClient(
        address, Secret("mine"), timeout_s=60, retries=0, pace=Pace(1), judge="gpt-4"
    )
    client.ask(ASKED, repeated=0)
    client.close()
    (headers,) = server.headers
    assert PLANTED not in str(headers)
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == (
        "Bearer mine"
    )


def test_openai_gets_the_headers_of_its_client():
    httpx2 = pytest.importorskip("httpx2")
    for address, kept in (("https://api.openai.com/v1", True), ("https://example.org/v1", False)):
        client = ChatClient(
            address, Secret("mine"), timeout_s=60, retries=0, pace=Pace(1), judge="gpt-4"
        )
        request = httpx2.Request("POST", address, headers={"OpenAI-Organization": "mine"})
        client._before(request)  # What the client calls before it sends.
        assert ("openai-organization" in request.headers) == kept
        client.close()
