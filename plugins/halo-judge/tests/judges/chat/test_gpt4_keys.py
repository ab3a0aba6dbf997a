"""A key is planted, everything is made to fail, and everything that was written is searched."""

import base64
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from halo_core.errors import UserError
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.refused import MESSAGE_LENGTH, words_of
from halo_judge.judges.endpoint.secret import Secret, read_key
from halo_judge.testing import ChatServer, planned_faults

KEY = "sk-planted-0123456789"
MARK = "planted-0123456789"
"""The part that is searched for: a key that is cut off in front is found too."""
TRACKING = "tracking: [{use: mlflow}]\n"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_LOG", "debug")


def forms(secret: str) -> list[bytes]:
    """Returns a secret as it may be written: plain, turned into base64, in UTF-16."""
    plain = secret.encode()
    return [plain, base64.b64encode(plain).rstrip(b"=")[:-2], secret.encode("utf-16-le")]


def holders(folder: Path) -> list[str]:
    """Returns the files below a folder that hold the key, but the spec where it was planted."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [
        str(path.relative_to(folder))
        for path in files
        if any(form in path.read_bytes() for form in forms(MARK))
        and not path.samefile(folder / "spec.yaml")
    ]


def told(project, *arguments: str) -> str:
    """Returns all that `halo` says, with its exit code."""
    code, out, err = project.halo(*arguments)
    return f"{code}\n{out}\n{err}"


def repeating(body) -> str:
    return json.dumps({"comparison": f"your key is {KEY}", "verdict": "A"})


@pytest.mark.slow(seconds=15)
@pytest.mark.timeout(900)
def test_a_planted_key_is_in_no_file_of_the_workspace_and_in_nothing_said(judged):
    pytest.importorskip("mlflow")
    project, said = judged(), []
    faults = planned_faults(0.3, seed=2)
    with ChatServer(repeating, faults=faults, key=KEY, repeats_key=True) as server:
        project.write(server.base_url, 8, TRACKING, weighted=True, timeout_s=2.0)
        said += [told(project, "plan", "--json"), told(project, "run", "--json")]
        assert said[-1].startswith("0\n")
        assert set(server.faults_met) >= {"429"}
    for fault, model in (("503", "ill"), ("400", "strict"), ("429", "busy")):
        options = {"faults": lambda body, times, fault=fault: fault, "repeats_key": True}
        with ChatServer(repeating, **options) as server:
            project.write(server.base_url, 2, TRACKING, model=model, retries=1)
            said.append(told(project, "run", "--debug"))
            assert said[-1].startswith("1\n")  # Nothing is scored; the reason has its words.
    with ChatServer(repeating, key="another", repeats_key=True) as server:
        project.write(server.base_url, 2, TRACKING, model="locked")
        said += [told(project, "run", *more) for more in ((), ("--json",), ("--debug",))]
        assert "Traceback" in said[-1]
    assert sum("***" in text for text in said) >= 3
    for text in said:
        assert MARK not in text
    assert "the endpoint does not take the key" in said[-3]
    stores = {path.name for path in project.folder.rglob("*") if path.is_file()}
    assert {"mlflow.db", "replies.sqlite", "verdicts.jsonl", "events.jsonl", "run.json"} <= stores
    assert not holders(project.folder)


@pytest.mark.parametrize("room", range(1, len(KEY) + 2))
def test_a_key_where_a_message_is_cut_is_not_shown_in_part(room):
    hide = Secret(KEY).hide
    said = "x" * (MESSAGE_LENGTH - room) + f" {KEY} was refused"
    for words in (words_of(RuntimeError(said), hide), words_of(said, hide)):
        assert KEY[:3] not in words


def test_a_key_that_is_a_name_in_a_reply_is_not_kept():
    assert Secret(KEY).hide_in({"errors": [{KEY: "refused"}]}) == {"errors": [{"***": "refused"}]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"api_key_env": KEY}, "expected the name of an environment variable in capitals"),
        ({"api_key_env": [KEY]}, "expected the name of an environment variable in capitals"),
        ({"api_key": KEY}, "unknown option 'api_key'. Did you mean 'api_key_env'?"),
        ({"base_url": f"https://me:{KEY}@x.y/v1"}, "an address holds no key, user or query"),
        ({"base_url": f"https://x.y/v1?key={KEY}"}, "an address holds no key, user or query"),
        ({"base_url": f"https://x.y/{KEY}/v1"}, "base_url holds the key that is in OPENAI_API_KEY"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--json",), ("--debug",)])
def test_a_key_in_the_wrong_place_is_a_mistake_that_does_not_show_it(
    judged, capfd, options, message, more
):
    project = judged()
    project.write(**{"base_url": "https://x.y/v1", "count": 2, **options})
    assert project.halo_here("run", *more) == 2
    out, err = capfd.readouterr()
    assert message in out + err
    assert MARK not in out + err
    assert not holders(project.folder)


@pytest.mark.parametrize("bad", ["two words", "line\nbreak", "schl\u00fcssel", '"quoted"', "a\\b"])
def test_what_cannot_be_a_key_is_an_error_that_does_not_show_it(monkeypatch, bad):
    monkeypatch.setenv("OPENAI_API_KEY", bad)
    with pytest.raises(UserError) as caught:
        read_key("OPENAI_API_KEY", "the judge gpt-4")
    assert str(caught.value) == (
        "the judge gpt-4: the environment variable OPENAI_API_KEY holds blanks, quotes, line "
        "breaks or letters outside of ASCII; expected a key in one piece. Set it again"
    )


@pytest.mark.parametrize("name", ["openai_key", "MY-KEY", "1KEY", "", " KEY"])
def test_the_name_of_a_variable_is_in_capitals(name):
    with pytest.raises(ValidationError, match="environment variable in capitals"):
        GPT4(api_key_env=name)
