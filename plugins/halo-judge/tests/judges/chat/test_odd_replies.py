"""The figures: each odd reply of the table costs at most the comparisons that it hits."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_core.judge import Comparison, JudgeContext
from halo_judge.judges.chat.options import GPT4
from halo_judge.testing import DEVIATIONS, ChatReply, ChatServer, Deviation

pytestmark = pytest.mark.slow

KEY = "sk-planted-0123456789"
PROMPTS = 9
"""More than the 8 requests after which an endpoint that answers none is given up."""
FEW = 6
"""Twice the largest number of comparisons that a deviation of some replies hits."""
PAGE = Path(__file__).parents[5] / "docs" / "evidence" / "odd-replies.md"


@pytest.fixture(autouse=True)
def key(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.chdir(tmp_path)


def prefers_good(body) -> ChatReply:
    """Answers in the form of pairwise-2, with log-probabilities of 3 to 1."""
    first = re.search(r"answer A\n(.*)\n", body["messages"][1]["content"])
    label, other = ("A", "B") if "good" in first.group(1) else ("B", "A")
    pieces = ['{"comparison": "one is good", "verdict": "', label, '"}']
    tops = [
        [(pieces[0], 0.0)],
        [(label, -0.2876821), (other, -1.3862944)],
        [(pieces[2], 0.0)],
    ]
    return ChatReply("".join(pieces), list(zip(pieces, tops, strict=True)))


def is_late(deviation: Deviation) -> bool:
    return deviation.name in ("timeout", "trickle", "slow-head")


def time_limit(deviation: Deviation) -> float:
    """A limit in seconds. On a busy machine, other replies than the late ones may reach 1.5 s."""
    return 1.5 if is_late(deviation) else 60.0


class Endpoint:
    """A server that deviates for some prompts, and the command that asks it."""

    def __init__(self, deviation: Deviation, hit: int, prompts: int) -> None:
        self.deviation = deviation
        self.prompts = prompts
        for name, word in (("a", "good"), ("b", "bad")):
            rows = [
                {"instruction": f"q{n}-?", "output": f"{word} {n}", "generator": name}
                for n in range(prompts)
            ]
            Path(f"{name}.json").write_text(json.dumps(rows))
        self.hit = {f"q{number}-" for number in range(hit)}
        self.sick = True
        self.usable: Counter[str] = Counter()
        self.server = ChatServer(prefers_good, faults=self.fault, key=KEY, repeats_key=False)

    def fault(self, body, times):
        text = json.dumps(body["messages"][:2])
        odd = self.sick and any(name in text for name in self.hit)
        if not odd or self.deviation.outcome == "read":
            self.usable[text] += 1
        return self.deviation.name if odd else None

    def judge(self, capfd, *, base_url="", **options) -> tuple[int, str, list[str]]:
        """Returns the exit code, what is said, and the results in their order."""
        base_url = base_url or self.server.base_url
        options = {
            "timeout_s": time_limit(self.deviation),
            "retries": 1,
            "weighted": True,
            **options,
        }
        judge = json.dumps({"use": "gpt-4", "base_url": base_url, **options})
        files = ["--a", "a.json", "--b", "b.json", "--judge", judge]
        code = call(["judge", *files, "--orders", "counterbalanced"])
        out, err = capfd.readouterr()
        assert KEY not in out + err
        return code, " ".join((out + err).split()), self.results()

    def results(self) -> list[str]:
        (file,) = Path("workspace/judgements").glob("*/verdicts.jsonl")
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.lines = {line["prompt"][0]["content"].split("-")[0]: line for line in lines}
        return [
            self.lines[f"q{n}"]["result"] if f"q{n}" in self.lines else "open"
            for n in range(self.prompts)
        ]


SAYS = {
    "thoughts-open": "cut off before the verdict, at max_tokens: '<think>I should answer",
    "null-content": "the reply is empty",
    "image": "expected a text as content, got a part {'type': 'image_url'",
    "empty": "the reply is empty",
    "garbage": "no verdict in the reply: 'Well, well.'",
    "refusal": "refused: 'I cannot help with that.'",
    "length": "cut off before the verdict, at max_tokens: '{",
    "finish-error": "not answered: the endpoint reported an error in its reply: upstream",
    "content-filter": "refused: stopped by the endpoint's content filter",
    "error-200": "the endpoint reported an error in its reply: Model my/judge is currently loading",
    "loading": "the endpoint reported an error in its reply: Model my/judge is currently loading",
    "wrong-path": "Unexpected endpoint or method. (POST /chat/completions); check base_url, which",
    "no-choices": "expected a chat completion, with a message in choices, got {",
    "null-message": "expected a chat completion, with a message in choices, got {",
    "list": "expected a chat completion, got [{'generated': 'A'}]",
    "not-json": "expected a chat completion, got a web page, '502 Bad Gateway'",
    "no-body": "expected a chat completion, got an empty reply",
    "events": "expected a chat completion, got 'data: {",
    "no-alternatives": "the log-probabilities have no alternatives at the label",
    "other-tokens": "the log-probabilities are not those of the reply's text",
    "no-numbers": "the log-probabilities have no alternatives at the label",
    "list-of-numbers": "the endpoint sent no log-probabilities",
    "204": "expected a chat completion, got an empty reply",
    "400": "not answered: Error code: 400 - not taken",
    "400-parameter": "400 - Unsupported parameter: 'temperature'; set temperature: null",
    "402": "Error code: 402 - Insufficient credits; the account at the endpoint has no credit",
    "403": "403 - your input was flagged; the key may not be used for this, or the text is not",
    "404": "Error code: 404 - Not Found; the endpoint knows no such model or address: check model",
    "405": "405 - Method Not Allowed; nothing takes POST at this address: check base_url",
    "413": "not answered: Error code: 413 - '<h1>413</h1>'",
    "422": 'not answered: Error code: 422 - {"detail": [{"loc": ["body", "messages"], "msg": "too',
    "429": "not answered: Error code: 429 - slow down",
    "429-quota": "429 - You exceeded your current quota; the account at the endpoint has no credit",
    "500": "not answered: Error code: 500 - ill",
    "501": "Error code: 501; the endpoint does not know this request: check base_url",
    "503": "not answered: Error code: 503 - ill",
    "529": "not answered: Error code: 529 - a web page, '502 Bad Gateway'",
    "redirect": "Error code: 307 - moved to https://example.org/v2; give that address as base_url",
    "api-version": "api-version; at Azure, set base_url: https://NAME.openai.azure.com/openai/v1",
    "timeout": "(ReadTimeout: the reply was not complete after 1.5 s (timeout_s))",
    "trickle": "(ReadTimeout: the reply was not complete after 1.5 s (timeout_s))",
    "slow-head": "(ReadTimeout: the reply was not complete after 1.5 s (timeout_s))",
    "drop": "Connection error. (RemoteProtocolError: Server disconnected",
    "cut": "(received 19 bytes, expected 1000)",
    "retry-tomorrow": "not answered: Error code: 429 - tomorrow",
    "not-gzip": "(DecodingError: ",
    "proxy-407": "407 - 'Proxy Authentication Required'; the proxy wants a user and a password",
    "proxy-502": "not answered: Error code: 502 - a web page, '502 Bad Gateway'",
}
"""Message of the command about each deviation that is an error or a warning."""
CERTAIN = {"tokens-of-thoughts", "byte-tokens", "turn-end", "fence", "utf-16", "gzip"}
"""Deviations after which the certainty is known all the same."""


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.name)
def test_a_deviation_costs_at_most_the_comparisons_that_it_hits(capfd, deviation):
    hit = 1 + DEVIATIONS.index(deviation) % 3
    endpoint = Endpoint(deviation, hit, FEW)
    with endpoint.server:
        code, said, results = endpoint.judge(capfd)
        odd = endpoint.lines
        endpoint.sick = False
        again, _, healthy = endpoint.judge(capfd)
    assert SAYS.get(deviation.name, "") in said
    if deviation.outcome == "read":
        assert (code, results) == (0, ["win"] * FEW)
        known = ["preference" in odd[f"q{n}"]["orders"][0] for n in range(FEW)]
        lacking = deviation.kind == "log-probabilities" and deviation.name not in CERTAIN
        assert all(known) if deviation.name in CERTAIN else all(known[hit:])
        if lacking:
            assert known == [False] * hit + [True] * (FEW - hit)
            assert f"{hit} of {FEW} verdicts of the judge gpt-4 have no certainty" in said
    elif deviation.outcome == "unscored":
        assert (code, results) == (0, ["unscored"] * hit + ["win"] * (FEW - hit))
        assert f"warning: {hit} of {FEW} comparisons are unscored; the first: " in said
        assert "The same command asks for them again" in said
    else:
        assert code == 2
        assert "the judge gpt-4: " in said
    assert (again, healthy) == (0, ["win"] * FEW)
    assert len(endpoint.usable) == FEW
    assert set(endpoint.usable.values()) == {1} or is_late(deviation)


def test_the_page_of_odd_replies_has_the_table():
    page = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^\| `(.*?)` \| (.*?) \| (.*?) \| (read|unscored|stops) \|$", page, re.M)
    assert [
        (name, kind, what.replace("`", ""), outcome) for name, kind, what, outcome in found
    ] == [(d.name, d.kind, d.what, d.outcome) for d in DEVIATIONS]
    assert f"{len(DEVIATIONS)} kinds" in page


def test_each_deviation_that_is_not_read_has_its_sentence():
    assert {d.name for d in DEVIATIONS if d.outcome != "read"} <= SAYS.keys()
    assert len(DEVIATIONS) >= 40


SENT_AGAIN = [
    deviation
    for deviation in DEVIATIONS
    if deviation.outcome == "unscored"
    and deviation.name not in ("400", "403", "413", "422", "retry-tomorrow")
]
"""Deviations after which the same run asks again."""


@pytest.mark.parametrize("deviation", SENT_AGAIN, ids=lambda deviation: deviation.name)
def test_a_deviation_that_passes_costs_nothing(tmp_path, deviation):
    def once(body, times):
        return deviation.name if times == 0 and len(body["messages"]) == 2 else None

    prompt = [{"role": "user", "content": "Say something."}]
    with ChatServer(prefers_good, faults=once) as server:
        judge = GPT4(base_url=server.base_url, timeout_s=time_limit(deviation), retries=2)
        with judge.open(JudgeContext(tmp_path, tmp_path)) as session:
            (verdict,) = session.compare([Comparison("1", prompt, "good", "bad")])
    assert verdict.winner == "A"
    assert verdict.calls == 1 + deviation.paid
    assert len(server.requests) == 2 or is_late(deviation)


NOT_READ = [deviation for deviation in DEVIATIONS if deviation.outcome != "read"]


@pytest.mark.parametrize("deviation", NOT_READ, ids=lambda deviation: deviation.name)
def test_a_deviation_of_all_replies_is_no_result(capfd, deviation):
    endpoint = Endpoint(deviation, PROMPTS, PROMPTS)
    with endpoint.server:
        code, said, results = endpoint.judge(capfd, retries=0)
    assert code in (1, 2)
    assert "win rate" not in said
    assert set(results) <= {"unscored", "open"}
    never = deviation.outcome == "stops" or deviation.name in ("400", "403", "413", "422")
    assert code == (2 if never else 1)
    if never and deviation.outcome != "stops":
        assert "the judge gpt-4: the endpoint answered none of the first 8 requests: " in said
    if code == 1:
        assert f"gpt-4 scored none of {PROMPTS} comparisons; the first: " in said


@pytest.mark.parametrize("name", ["500", "garbage", "402", "400"])
def test_a_stage_in_which_nothing_was_scored_is_not_done(judged, capfd, name):
    project = judged()
    plan = {"faults": lambda body, times: name, "key": KEY}
    with ChatServer(prefers_good, **plan) as server:
        project.write(server.base_url, 6, retries=0)
        code = project.halo_here("run")
        said = capfd.readouterr().err
        stages = list((project.folder / "workspace" / "stages").iterdir())
        done = [folder.name.split("-")[0] for folder in stages if (folder / "done.json").exists()]
        server.faults = lambda body, times: None
        again = project.halo_here("run")
    assert code == {"500": 1, "garbage": 1}.get(name, 2)
    assert (
        f"Error code: {name}" in said or "scored none of 6 comparisons; the first: no ver" in said
    )
    assert (done, again) == (["Fixed"], 0)
    assert "unscored" not in {record["result"] for record in project.records()}
