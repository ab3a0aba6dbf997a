"""Odd replies of an endpoint that scores, by `halo label`: each costs its own completion."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.errors import UserError
from halo_core.judge import JudgeContext
from halo_core.scoring_judge import Answer
from halo_judge.judges.http import http_client
from halo_judge.judges.http.number_path import number_at, parts_of
from halo_judge.judges.http.options import HttpJudge
from halo_judge.testing import DEVIATIONS, ChatServer, Deviation

pytestmark = pytest.mark.slow

COMPLETIONS = 9
LATE = ("timeout", "trickle", "slow-head")
KINDS = ("error body", "status", "timing", "encoding", "proxy")
TABLE = [
    deviation
    for deviation in DEVIATIONS
    # These two hold the number that the judge of this test reads.
    if deviation.kind in KINDS and deviation.name not in ("no-choices", "null-message")
]
STOPS = ("402", "404", "405", "501", "redirect", "proxy-407")
SAYS = {
    "error-200": "the reply has no 'usage.prompt_tokens': {'error': {'message': 'Model my/judge",
    "loading": "the reply has no 'usage.prompt_tokens': {'error': 'Model my/judge is currently",
    "list": "the reply has no 'usage.prompt_tokens': [{'generated': 'A'}]",
    "not-json": "not answered: expected JSON, got '<html><head><title>502 Bad Gateway",
    "no-body": "not answered: expected JSON, got ''",
    "events": "not answered: expected JSON, got 'data: {",
    "402": 'HTTP 402: {"error": {"message": "Insufficient credits"',
    "404": 'HTTP 404: {"detail": "Not Found"}; nothing is at this address: check url',
    "405": "; nothing takes POST at this address: check url",
    "413": "not answered: HTTP 413: <h1>413</h1>",
    "redirect": "HTTP 307: moved to https://example.org/v2/chat/completions; give that address",
    "timeout": "not answered: ReadTimeout: the reply was not complete after 1.5 s (timeout_s)",
    "trickle": "not answered: ReadTimeout: the reply was not complete after 1.5 s (timeout_s)",
    "slow-head": "not answered: ReadTimeout: the reply was not complete after 1.5 s (timeout_s)",
    "proxy-407": "the proxy wants a user and a password",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.chdir(tmp_path)
    # A server that asks to wait until tomorrow is asked again soon.
    monkeypatch.setattr(http_client, "LONGEST_WAIT_S", 0.2)
    rows = [{"prompt": f"q{n}-", "completion": f"text {n}"} for n in range(COMPLETIONS)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


class Endpoint:
    """A server that deviates for some prompts, and the command that asks it."""

    def __init__(self, deviation: Deviation, hit: int) -> None:
        self.deviation = deviation
        self.hit = [f"q{number}-" for number in range(hit)]
        self.sick = True
        self.usable: Counter[str] = Counter()
        self.server = ChatServer(lambda body: "A text.", faults=self.fault)

    def fault(self, body, times):
        text = json.dumps(body["messages"])
        odd = self.sick and any(name in text for name in self.hit)
        if not odd or self.deviation.outcome == "read":
            self.usable[text] += 1
        return self.deviation.name if odd else None

    def label(self, capfd) -> tuple[int, str, list[bool]]:
        """Returns the exit code, what is said, and which completions have a score."""
        judge = {
            "use": "http",
            "url": f"{self.server.base_url}/chat/completions",
            "body": {"model": "m", "messages": "{conversation}", "text": "{completion}"},
            "score": "usage.prompt_tokens",
            "timeout_s": 1.5 if self.deviation.name in LATE else 30.0,
            "retries": 1,
        }
        options = ["--of", "rows.jsonl", "--threshold", "0", "--out", "labels.jsonl"]
        code = call(["label", "--judge", json.dumps(judge), *options])
        out, err = capfd.readouterr()
        (file,) = Path("workspace").rglob("scores.jsonl")
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        scored = {line["completion"]: line["score"] is not None for line in lines}
        return (
            code,
            " ".join((out + err).split()),
            [scored.get(f"text {n}", False) for n in range(COMPLETIONS)],
        )


# These two wait until the time limit, twice.
CASES = [
    pytest.param(
        deviation,
        id=deviation.name,
        marks=[pytest.mark.slow] if deviation.name in ("trickle", "slow-head") else [],
    )
    for deviation in TABLE
]


@pytest.mark.parametrize("deviation", CASES)
def test_a_deviation_costs_at_most_the_completions_that_it_hits(here, capfd, deviation):
    hit = 1 + TABLE.index(deviation) % 3
    endpoint = Endpoint(deviation, hit)
    with endpoint.server:
        code, said, scored = endpoint.label(capfd)
        endpoint.sick = False
        again, _, healthy = endpoint.label(capfd)
    assert SAYS.get(deviation.name, "") in said
    if deviation.outcome == "read":
        assert (code, scored) == (0, [True] * COMPLETIONS)
    elif deviation.name in STOPS:
        assert code == 2
        assert "the judge http: HTTP " in said
    else:
        assert (code, scored) == (0, [False] * hit + [True] * (COMPLETIONS - hit))
        assert f"{hit} are unscored and left out; the first: " in said
        assert "To ask again: the same command" in said
    assert (again, healthy) == (0, [True] * COMPLETIONS)
    assert endpoint.usable == Counter({text: 1 for text in endpoint.usable})
    assert len(endpoint.usable) == COMPLETIONS


@pytest.mark.parametrize("name", ["list", "400", "422", "403"])
def test_an_endpoint_that_never_gives_the_number_stops_after_eight_requests(here, capfd, name):
    deviation = next(deviation for deviation in DEVIATIONS if deviation.name == name)
    endpoint = Endpoint(deviation, COMPLETIONS)
    with endpoint.server:
        code, said, _ = endpoint.label(capfd)
    assert code == 2
    assert "the judge http: the endpoint answered none of the first 8 requests: " in said
    assert "; check url, body and score" in said


def scored(judge, folder, *texts):
    prompt = [{"role": "user", "content": "q"}]
    answers = [Answer(str(n), prompt, text) for n, text in enumerate(texts)]
    with judge.open_scoring(JudgeContext(folder, folder)) as session:
        found = {score.id: score for score in session.score(answers)}
    return [found[answer.id] for answer in answers]


def test_texts_without_a_number_do_not_stop_an_endpoint_that_answered(serve, tmp_path):
    server = serve(lambda body: {"score": None if body["completion"] == "" else 1.0})
    judge = HttpJudge(url=server.url, retries=0, concurrency=1)
    texts = ["a", *("" for _ in range(3)), "b"]
    assert [found.value for found in scored(judge, tmp_path, *texts)] == [1.0, *[None] * 3, 1.0]
    odd = HttpJudge(
        url=server.url, retries=0, concurrency=1, body={"completion": "", "n": "{completion}"}
    )
    found = scored(odd, tmp_path, *map(str, range(20)))
    assert {score.reason for score in found} == {
        "'score' of the reply is None; expected a finite number"
    }
    assert len(server.bodies) == 3 + 20


def test_a_reply_without_the_number_is_evidence_and_asked_for_again(serve, tmp_path):
    replies = iter([{"error": "loading"}, {"error": "loading"}, {"score": 2.0}])
    server = serve(lambda body: next(replies))
    judge = HttpJudge(url=server.url, retries=1)
    (first,) = scored(judge, tmp_path, "a")
    assert first.reason == "not answered: the reply has no 'score': {'error': 'loading'}"
    for _ in range(2):
        (later,) = scored(judge, tmp_path, "a")
        assert later.value == 2.0
    assert len(server.bodies) == 3


CLASSES = [[{"label": "neutral", "score": 0.75}, {"label": "toxic", "score": 0.25}]]


@pytest.mark.parametrize(
    ("reply", "path", "number"),
    [
        (CLASSES, "0.label=toxic.score", 0.25),
        ([CLASSES[0][::-1]], "0.label=toxic.score", 0.25),
        (CLASSES, "0.1.score", 0.25),
        ({"classes": [{"id": 7, "p": 0.5}, {"id": True, "p": 0.1}]}, "classes.id=7.p", 0.5),
        ({"classes": [{"id": True, "p": 0.1}]}, "classes.id=true.p", 0.1),
        ([{"label": "v1.toxic", "score": 0.5}], 'label="v1.toxic".score', 0.5),
        ([{"label": "a=b", "score": 0.5}], "label=a=b.score", 0.5),
        ({"a=b": {"c": 1}}, "a=b.c", 1.0),
    ],
)
def test_a_number_is_found_by_the_label_of_its_class(reply, path, number):
    assert number_at(reply, path) == (number, "")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            CLASSES,
            "the reply has 0 items with label 'rude'; expected one. label is there: 'neutral', "
            "'toxic'",
        ),
        (
            [[{"label": "rude", "score": 1}, {"label": "rude", "score": 2}]],
            "the reply has 2 items with label 'rude'; expected one. label is there: 'rude', 'rude'",
        ),
        ([["rude"]], "the reply has 0 items with label 'rude'; expected one. label is there: none"),
        ([{"label": "rude"}], "the reply has no '0.label=rude.score': [{'label': 'rude'}]"),
        ([[{"label": "rude"}]], "the reply has no '0.label=rude.score': [[{'label': 'rude'}]]"),
    ],
)
def test_a_label_that_is_not_there_once_is_named_with_those_that_are(reply, reason):
    assert number_at(reply, "0.label=rude.score") == (None, reason)


def test_a_number_that_is_too_large_is_none():
    value, reason = number_at({"a": 10**400}, "a")
    assert value is None
    assert reason.endswith("; expected a finite number")


def test_a_path_with_a_lone_quotation_mark_is_a_mistake():
    with pytest.raises(ValueError, match="has a quotation mark without a partner; expected a path"):
        HttpJudge(url="https://host/score", score='label="toxic.score')
    assert parts_of('a."b.c".d') == ["a", '"b.c"', "d"]


def test_a_label_selects_the_score_of_an_endpoint(serve, tmp_path):
    def says(body):
        toxic = len(body["completion"]) / 10
        classes = [{"label": "toxic", "score": toxic}, {"label": "fine", "score": 1 - toxic}]
        return [sorted(classes, key=lambda item: -item["score"])]

    judge = HttpJudge(url=serve(says).url, score="0.label=toxic.score")
    found = scored(judge, tmp_path, "a", "a" * 9)
    assert [score.value for score in found] == [0.1, 0.9]


def test_a_used_up_time_limit_of_a_whole_request_is_not_exceeded_by_a_slow_body(here, tmp_path):
    with ChatServer(lambda body: "A text." * 40, faults=lambda body, times: "trickle") as server:
        judge = HttpJudge(
            url=f"{server.base_url}/chat/completions",
            body={"model": "m", "messages": "{conversation}", "n": "{completion}"},
            timeout_s=0.3,
            retries=0,
        )
        (found,) = scored(judge, tmp_path, "a")
    assert re.fullmatch(
        r"not answered: ReadTimeout: the reply .* 0\.3 s \(timeout_s\)", found.reason
    )


def test_a_key_in_a_redirect_is_not_shown(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame-open-0815")
    location = {"Location": "https://example.org/?k=sesame-open-0815"}
    server = serve(lambda body: (302, location, ""))
    with pytest.raises(UserError, match=r"moved to https://example\.org/") as error:
        scored(HttpJudge(url=server.url, api_key_env="MY_KEY"), tmp_path, "a")
    assert "sesame" not in error.value.message
