"""Completions from a server: what is sent, what is stored, and what failures leave."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from completion_server import ROWS, Server, completion, of_vllm, read, stage
from pydantic import ValidationError

from halo_core.endpoints.sent_headers import SENT
from halo_core.errors import Interrupted, UserError
from halo_core.stage import ModelInput, StageContext, StopFlag
from halo_models.load import load_tokenizer
from halo_trainer.sample.endpoint import Endpoint
from halo_trainer.sample.options import Sample

pytest.importorskip("openai")
KEY = "sk-very-secret-0123456789"


def test_prompts_go_out_as_ids_and_ids_and_log_probabilities_come_back(
    server: Server, context: Callable[..., StageContext], tiny_model: ModelInput
) -> None:
    tokenizer = load_tokenizer(tiny_model, None)
    server.answer = of_vllm(end=tokenizer.eos_token_id)
    warnings: list[str] = []
    here = context(warnings=warnings)
    result = stage(server.url, samples_per_prompt=2, top_k=9).run(here)
    made = read(here)
    assert result.metrics["n"] == len(made) == len(server.asked) == 10
    assert warnings == []
    for sample in made:
        assert (sample["finish"], sample["tokens"]) == ("stop", 2)
        assert sample["token_logps"] == [-0.5, -0.5, -0.5]
        assert sample["sampling_options"] == {"temperature": 1.0, "top_p": 0.95, "top_k": 9}
        assert sample["completion"] == tokenizer.decode(sample["token_ids"])
        assert sample["tokenizer"] is not None
    texts = {tokenizer.decode(body["prompt"]) for body, _ in server.asked}
    assert texts == {
        tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        for row in ROWS
    }
    body, key = server.asked[0]
    assert (body["model"], body["max_tokens"], body["top_k"]) == ("served", 12, 9)
    assert (body["return_token_ids"], body["logprobs"]) == (True, 0)
    assert tokenizer.eos_token_id in body["stop_token_ids"]
    # Otherwise a vLLM server takes them from the model's generation_config.json.
    assert (body["repetition_penalty"], body["min_p"]) == (1.0, 0.0)
    assert key == "Bearer none"
    assert len({body["seed"] for body, _ in server.asked}) == 10


def test_nothing_from_the_environment_is_sent_that_the_spec_does_not_name(
    server: Server, context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Team: {KEY}\nAuthorization: Bearer {KEY}")
    stage(server.url, n=1).run(context())
    (headers,) = server.headers
    assert KEY not in str(headers)
    assert {name.lower() for name in headers} <= SENT
    assert {"authorization", "content-type", "idempotency-key"} <= {n.lower() for n in headers}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "some are null"),
        (float("nan"), "some are not finite"),
        (float("-inf"), "some are not finite"),
        (-(10**400), "some are not finite"),
        (0.5, "some are above 0"),
    ],
)
def test_a_wrong_log_probability_costs_only_those_of_its_completion(
    server: Server, context: Callable[..., StageContext], value: float | None, reason: str
) -> None:
    right, asked = of_vllm(end=None), []

    def answer(body: dict[str, Any]) -> Any:
        made = right(body)
        asked.append(body)
        if len(asked) == 2:
            made["choices"][0]["logprobs"]["token_logprobs"][1] = value
        return made

    server.answer = answer
    warnings: list[str] = []
    here = context(warnings=warnings)
    stage(server.url, requests_at_once=1).run(here)
    made = read(here)
    assert sorted(sample["token_logps"] is None for sample in made) == [False] * 4 + [True]
    assert all(sample["token_ids"] for sample in made)
    assert warnings == [
        f"1 of 5 samples have no log-probabilities (of those that came, {reason}: 1), so a loss "
        "that needs those of the sampler does not use them"
    ]


def test_a_seed_depends_on_the_prompt_and_the_sample_only(
    server: Server, context: Callable[..., StageContext]
) -> None:
    several, fewer = context("a"), context("b")
    stage(server.url, samples_per_prompt=2).run(several)
    stage(server.url, n=2, requests_at_once=1).run(fewer)
    assert [s["token_ids"] for s in read(fewer)] == [s["token_ids"] for s in read(several)][:4:2]


def test_text_alone_is_stored_without_ids_and_counted(
    server: Server, context: Callable[..., StageContext]
) -> None:
    server.answer = lambda body: completion(finish_reason="stop")
    warnings: list[str] = []
    here = context(warnings=warnings)
    stage(server.url, {"server": "other", "prompts": "text"}).run(here)
    for sample in read(here):
        assert sample["completion"] == " moo"
        assert (sample["token_ids"], sample["token_logps"]) == (None, None)
        assert sample["sampling_options"] is None  # the server may have added options
        assert (sample["tokenizer"], sample["finish"]) == (None, "stop")
        assert sample["tokens"] > 0
    body, _ = server.asked[0]
    assert isinstance(body["prompt"], str)
    assert body.keys() == {"model", "prompt", "max_tokens", "temperature", "top_p", "seed"}
    assert warnings == [
        "5 of 5 samples have only their text, because the server gave no token ids: training "
        "tokenises them again, and their lengths are those of this text",
        "5 of 5 samples have no log-probabilities, so a loss that needs those of the sampler "
        "does not use them",
    ]


def test_what_was_drawn_before_a_failure_is_kept_and_only_the_rest_is_asked_again(
    server: Server, context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = context("whole")
    stage(server.url).run(whole)
    server.asked.clear()
    usual = server.answer
    refusal = (400, {"error": {"message": f"no more for {KEY}"}})
    server.answer = lambda body: usual(body) if len(server.asked) <= 3 else refusal
    monkeypatch.setenv("MY_KEY", KEY)
    options = {"api_key_env": "MY_KEY", "requests_at_once": 1}
    with pytest.raises(UserError) as raised:
        stage(server.url, **options).run(context("again"))
    assert "3 of 5 samples are kept; run the same command again to ask" in str(raised.value)
    assert "Error code: 400" in str(raised.value)
    assert KEY not in str(raised.value)
    assert len(server.asked) == 4
    server.answer = usual
    again = context("again")
    stage(server.url, **options).run(again)
    assert len(server.asked) == 6
    assert server.asked[-1][1] == f"Bearer {KEY}"
    assert read(again) == read(whole)
    assert not any(KEY in file.read_text() for file in Path(again.folder).rglob("*.jsonl"))


def test_no_request_is_sent_after_a_stop_and_the_same_call_asks_for_the_rest(
    server: Server, context: Callable[..., StageContext]
) -> None:
    options = {"samples_per_prompt": 4, "requests_at_once": 1}
    whole = context("whole")
    stage(server.url, **options).run(whole)
    server.asked.clear()
    stop, usual = StopFlag(), server.answer

    def answer(body: dict[str, Any]) -> Any:
        if len(server.asked) == 6:  # The second completion of the second prompt.
            stop.set(2)
        return usual(body)

    server.answer = answer
    with pytest.raises(Interrupted, match="6 of 20 samples are kept"):
        stage(server.url, **options).run(context("again", stop=stop))
    assert len(server.asked) == 6
    again = context("again")
    stage(server.url, **options).run(again)
    assert len(server.asked) == 6 + 14
    assert read(again) == read(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt_token_ids": [1, 2]}, "expected the same token ids"),
        ({"finish_reason": "content_filter"}, "the server's answer has 'content_filter'"),
        ({"token_ids": [7, 10**8]}, r"has the token id 100000000; expected 0 to \d+, those of the"),
        ({"token_ids": [-1]}, "has the token id -1"),
        ({"token_ids": "abc"}, "has 'abc' as token_ids; expected a list of whole numbers"),
        ({"prompt_token_ids": 3}, "has 3 as prompt_token_ids"),
        ({"logprobs": [{}]}, r"as logprobs; expected token_logprobs .* write server: other"),
        ({"token_ids": None, "text": ["a"]}, "as text; expected a text"),
    ],
)
def test_an_answer_that_is_not_the_prompts_completion_is_an_error(
    server: Server, context: Callable[..., StageContext], change: dict[str, Any], words: str
) -> None:
    server.answer = lambda body: completion(
        **({"finish_reason": "stop", "token_ids": [7]} | change)
    )
    with pytest.raises(UserError, match=words):
        stage(server.url).run(context())


def test_log_probabilities_that_are_not_those_of_the_tokens_are_not_stored(
    server: Server, context: Callable[..., StageContext]
) -> None:
    server.answer = lambda body: completion(
        finish_reason="stop", token_ids=[7, 8], logprobs={"token_logprobs": [-0.5]}
    )
    warnings: list[str] = []
    here = context(warnings=warnings)
    stage(server.url, n=1).run(here)
    assert [(s["token_ids"], s["token_logps"]) for s in read(here)] == [([7, 8], None)]
    assert warnings[0].startswith("1 of 1 samples have no log-probabilities")


def test_no_server_is_an_error_with_the_address(
    server: Server, context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_trainer.sample.endpoint.RETRIES", 0)
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1: Connection error"):
        stage("http://127.0.0.1:9/v1").run(context())


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("socks5://ann:sesame@127.0.0.1:9", r"needs the package socksio: pip install 'httpx2\["),
        ("gopher://ann:sesame@127.0.0.1:9", r"cannot be used \(Unknown scheme for proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_and_does_no_harm_where_it_is_not_needed(
    server: Server, monkeypatch: pytest.MonkeyPatch, proxy: str, reason: str
) -> None:
    for name in ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setattr("halo_core.endpoints.proxies.find_spec", lambda name: None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UserError, match=rf"\(ALL_PROXY\) {reason}") as caught:
        Endpoint("http://halo.test/v1", None, lambda: False)
    assert "sesame" not in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client = Endpoint(server.url, None, lambda: False)
    server.answer = lambda body: completion(finish_reason="stop")
    assert client.ask({"model": "m", "prompt": [1]})["choices"]
    client.close()


def test_a_missing_key_is_an_error_before_anything_is_asked(
    server: Server, context: Callable[..., StageContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UserError, match="the environment variable MY_KEY is not set"):
        stage(server.url, api_key_env="MY_KEY").run(context())
    needed = stage(server.url, api_key_env="MY_KEY").needed_here()
    assert [(each.kind, each.name) for each in needed] == [
        ("package", "openai"),
        ("variable", "MY_KEY"),
    ]


def test_options_that_an_endpoint_does_not_use_are_mistakes() -> None:
    given = stage("http://x/v1", {"server": "other"}, batch_size=4, device="cpu", top_k=4)
    assert [option for option, _ in given.mistakes()] == ["batch_size", "device", "top_k"]
    local = Sample.build(json.dumps({"prompts": "test", "requests_at_once": 2}), {})
    assert list(local.mistakes()) == [
        ("requests_at_once", "has no effect when there is no endpoint; leave it out")
    ]


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "http://me:pw@x/v1",
        "http://x/v1?key=1",
        "http://x/v1#key",
        "http://x:80a0/v1",
        "http://x:99999/v1",
        "http://[::1/v1",
        "http://x/v 1",
        "http://x\n/v1",
    ],
)
def test_an_address_with_a_key_or_that_no_client_takes_is_a_mistake(url: str) -> None:
    with pytest.raises(ValidationError, match="an address"):
        stage(url)


def test_a_key_in_place_of_its_variable_is_a_mistake_that_does_not_show_it() -> None:
    from halo_core.plugins.discovery import discover
    from halo_core.spec.document import Document
    from halo_core.spec.mistakes import Mistakes
    from halo_core.spec.resolver import Resolver

    tree = {"use": "sample", "prompts": "test", "api_key_env": KEY}
    mistakes = Mistakes(Document("spec.yaml", Path(), {"stages": {"draw": tree}}))
    Resolver(discover(), mistakes).resolve("stage", tree, ("stages", "draw"))
    (error,) = mistakes.errors
    assert "expected the name of an environment variable" in str(error)
    assert KEY not in str(error)
