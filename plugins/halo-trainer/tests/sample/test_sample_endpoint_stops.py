"""Completions from a server: what is stored, and what is asked again, after failures and stops."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from completion_server import Server, completion, read, stage

from halo_core.errors import Interrupted, UserError
from halo_core.stage import StageContext, StopFlag
from halo_core.stop_flag import BySignal
from halo_trainer.sample import ask_endpoint, endpoint

pytest.importorskip("openai")
REFUSAL = (400, {"error": {"message": "no more"}})
FAULT = (500, {"error": {"message": "out of order"}})
Contexts = Callable[..., StageContext]


def test_a_failure_loses_no_sample_and_the_next_run_asks_only_for_the_missing_ones(
    server: Server, context: Contexts
) -> None:
    whole = context("whole")
    stage(server.url, samples_per_prompt=3).run(whole)
    all_keys = Counter(server.keys)
    usual = server.answer
    server.asked.clear()
    server.keys.clear()
    server.answer = lambda body: usual(body) if len(server.asked) <= 4 else REFUSAL
    again = context("again")
    options = {"samples_per_prompt": 3, "requests_at_once": 1}
    with pytest.raises(UserError, match="4 of 15 samples are kept"):
        stage(server.url, **options).run(again)
    assert len(server.asked) == 5
    server.answer = usual
    stage(server.url, **options).run(again)
    assert len(server.asked) == 5 + 11
    assert read(again) == read(whole)
    assert Counter(server.keys) == all_keys + Counter([server.keys[4]])
    assert set(all_keys.values()) == {1}
    assert None not in all_keys


def test_a_sample_is_in_the_file_before_the_next_one_is_asked_for(
    server: Server, context: Contexts
) -> None:
    usual = server.answer
    here = context()
    stored = []

    def answer(body: dict[str, Any]) -> Any:
        file = here.folder / "samples.partial.jsonl"
        stored.append(len(file.read_text().splitlines()) if file.exists() else 0)
        return usual(body)

    server.answer = answer
    stage(server.url, n=2, samples_per_prompt=2, requests_at_once=1).run(here)
    assert stored == [0, 1, 2, 3]
    assert not (here.folder / "samples.partial.jsonl").exists()


def test_samples_of_several_prompts_that_arrive_in_turns_are_found_again(
    server: Server, context: Contexts
) -> None:
    whole = context("whole")
    stage(server.url, samples_per_prompt=2).run(whole)
    again = context("again")
    lines = (whole.folder / "samples.jsonl").read_text().splitlines(keepends=True)
    torn = lines[8][: len(lines[8]) // 2]  # A killed writer leaves half a line.
    partial = "".join([lines[4], lines[0], lines[5], lines[2], torn])
    (again.folder / "samples.partial.jsonl").write_text(partial)
    server.asked.clear()
    stage(server.url, samples_per_prompt=2).run(again)
    assert len(server.asked) == 10 - 4
    assert read(again) == read(whole)


def test_after_the_signal_to_stop_no_request_starts_and_those_in_progress_are_stored(
    server: Server, context: Contexts
) -> None:
    whole = context("whole")
    stage(server.url, samples_per_prompt=2).run(whole)
    server.asked.clear()
    usual, both = server.answer, threading.Barrier(2)
    stop = StopFlag()
    again = context("again", stop=stop)
    events = again.folder / "events.jsonl"
    words = (
        "waiting up to 10 minutes for answers to requests in progress (2); each is stored when it "
        "arrives"
    )

    def answer(body: dict[str, Any]) -> Any:
        both.wait(120)  # Both requests are in progress when the signal comes.
        stop.set(2)
        end = time.monotonic() + 120
        while not (events.exists() and words in events.read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return usual(body)

    server.answer = answer
    options = {"samples_per_prompt": 2, "requests_at_once": 2}
    with pytest.raises(Interrupted, match="stopped; 2 of 10 samples are kept; run the same"):
        stage(server.url, **options).run(again)
    assert len(server.asked) == 2
    server.answer = usual
    again = context("again")
    stage(server.url, **options).run(again)
    assert len(server.asked) == 10
    assert read(again) == read(whole)


def test_a_failed_request_is_not_sent_again_after_the_signal_to_stop(
    server: Server, context: Contexts
) -> None:
    usual = server.answer
    stop = StopFlag()

    def answer(body: dict[str, Any]) -> Any:
        if len(server.asked) == 1:
            return usual(body)
        stop.set(2)
        return FAULT

    server.answer = answer
    here = context(stop=stop)
    with pytest.raises(Interrupted, match="1 of 5 samples are kept"):
        stage(server.url, requests_at_once=1).run(here)
    assert len(server.asked) == 2


def test_a_request_that_is_sent_again_has_the_same_key(server: Server, context: Contexts) -> None:
    usual = server.answer
    server.answer = lambda body: FAULT if len(server.asked) == 1 else usual(body)
    stage(server.url, n=1).run(context())
    first, second = server.keys
    assert first == second


def test_the_wait_for_a_server_that_does_not_answer_is_bounded(
    server: Server, context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_endpoint, "LAST_ANSWERS_S", 0.3)
    release = threading.Event()
    stop = StopFlag()

    def answer(body: dict[str, Any]) -> Any:
        stop.set(2)
        release.wait(200)
        return FAULT

    server.answer = answer
    expected = r"0 of 5 samples are kept, requests without an answer after 0.3 s: 1; run the same"
    with pytest.raises(Interrupted, match=expected):
        stage(server.url, requests_at_once=1).run(context(stop=stop))
    release.set()


def test_an_answer_that_comes_byte_by_byte_ends_at_the_limit_of_the_whole_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    server.answer, server.byte_s = lambda body: completion(finish_reason="stop"), 0.1
    client = endpoint.Endpoint(server.url, None, lambda: False)
    # All bytes take more than 6 s, and none comes later than 0.1 s after the one before.
    with pytest.raises(UserError, match=r"not complete after 0\.3 s"):
        client.ask({"model": "m", "prompt": [1]})
    client.close()


def test_a_second_signal_does_not_wait_for_requests_in_progress(
    server: Server, context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked, answered = threading.Event(), threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> Any:
        asked.set()
        release.wait(200)
        answered.set()
        return FAULT

    def interrupted(*_: Any) -> None:
        assert asked.wait(120)
        raise BySignal

    server.answer = answer
    monkeypatch.setattr(ask_endpoint, "wait", interrupted)
    with pytest.raises(BySignal):
        stage(server.url).run(context())
    assert not answered.is_set()
    # Threads that keep the process alive would wait for the server.
    assert all(t.daemon for t in threading.enumerate() if t.name.startswith("sample_"))
    release.set()
