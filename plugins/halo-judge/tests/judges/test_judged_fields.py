"""The parts of a row that a judge reads besides its texts: thoughts, tool calls, tools, names."""

import json
import re
from pathlib import Path

import pytest

from halo_core.errors import PluginError
from halo_core.judge import Comparison, JudgeContext
from halo_core.scoring_judge import Answer
from halo_judge.judge_stage.unread import BesideTexts, reads_beside, warn_of_the_unread
from halo_judge.judges.chat.options import GPT4
from halo_judge.judges.chat.template import find_template
from halo_judge.judges.http.http_session import fill_places
from halo_judge.judges.http.options import HttpJudge
from halo_judge.judges.longest import Longest
from halo_judge.judges.prompt_text import answer_text, prompt_text
from halo_judge.judges.python import PythonJudge
from halo_judge.judges.reward_model.classifier_text import Reader
from halo_judge.judges.reward_model.options import RewardModel
from halo_judge.testing import ChatServer
from halo_models import conversation
from halo_models.chat_encoder import ChatEncoder, ChatRow
from halo_models.chat_format import ChatFormat
from halo_models.notes import ModelNotes
from halo_models.templates import use_template
from halo_models.testing import make_tokenizer

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Århus"}}}
PROMPT = [
    {"role": "user", "content": "Cold?", "name": "Ana"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", **CALL}]},
    {"role": "tool", "content": "3 degrees", "name": "weather", "tool_call_id": "c1"},
]
FIELDS = {"reasoning_content": "Few degrees.", "tool_calls": [CALL]}
PROMPT_TEXT = """\
[tools]
{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

[user, name: Ana]
Cold?

[assistant]
[tool_calls]
c1: weather({"city": "Århus"})

[tool, name: weather, tool_call_id: c1]
3 degrees"""
ANSWER_TEXT = """\
[reasoning_content]
Few degrees.

[content]
Yes.

[tool_calls]
weather({"city": "Århus"})"""
UNUSED = JudgeContext(Path("unused"), Path("unused"))


def test_a_row_as_text_holds_all_of_it_under_its_name():
    assert prompt_text(PROMPT, TOOLS) == PROMPT_TEXT
    assert answer_text("Yes.", FIELDS) == ANSWER_TEXT
    assert answer_text("Yes.", {}) == prompt_text([{"role": "user", "content": "Yes."}]) == "Yes."


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ({"function": {"name": "moo", "arguments": '{"n": 1}'}}, 'moo({"n": 1})'),
        ({"function": {"name": "moo"}}, "moo()"),
        ({"type": "code", **CALL["function"]}, None),
        ({**CALL, "index": 0}, None),
        ({"function": {"name": "moo", "arguments": {}, "odd": 1}}, None),
        ("moo", None),
    ],
)
def test_an_odd_call_is_written_as_json_so_that_nothing_of_it_is_lost(call, line):
    shown = line or json.dumps(call, ensure_ascii=False)
    assert answer_text("", {"tool_calls": [call]}) == f"[tool_calls]\n{shown}"


def test_fields_that_nobody_knows_are_written_too():
    text = answer_text("Moo.", {"audio": {"id": 7}, "tool_calls": "none"})
    assert text == '[content]\nMoo.\n\n[audio]\n{"id": 7}\n\n[tool_calls]\nnone'


def test_gpt4_is_shown_thoughts_calls_and_tools():
    shown = Comparison("1", PROMPT, "Yes.", "No.", TOOLS, FIELDS, None)
    asked = find_template("pairwise-2").messages(shown)[-1]["content"]
    assert PROMPT_TEXT in asked
    assert ANSWER_TEXT in asked
    assert re.search(r"answer B\nNo\.\n", asked)


def test_gpt4_is_asked_of_the_same_text_beside_other_calls(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    calls = Comparison("calls", PROMPT, "", "", TOOLS, FIELDS, {"tool_calls": []})
    same = Comparison("same", PROMPT, "", "", TOOLS, FIELDS, dict(FIELDS))
    with ChatServer(lambda body: '{"comparison": "", "verdict": "A"}') as server:
        judge = GPT4(base_url=server.base_url, retries=0)
        quote = judge.quote([calls, same], tmp_path)
        with judge.open(JudgeContext(tmp_path, tmp_path)) as session:
            said = {verdict.id: verdict.winner for verdict in session.compare([calls, same])}
        assert len(server.requests) == 1
    assert said == {"calls": "A", "same": "tie"}
    assert (quote.calls, quote.kept) == (1, 1)


def test_the_http_judge_sends_whole_messages_and_tools():
    answer = Answer("1", PROMPT, "Yes.", FIELDS, TOOLS)
    body = {"m": "{messages}", "c": "{conversation}", "t": "{tools}"}
    body |= {"a": "{completion}", "p": "{prompt}"}
    said = {"role": "assistant", "content": "Yes.", **FIELDS}
    assert fill_places(body, answer) == {
        "m": PROMPT,
        "c": [*PROMPT, said],
        "t": TOOLS,
        "a": ANSWER_TEXT,
        "p": PROMPT_TEXT,
    }
    assert fill_places("{tools}", Answer("1", PROMPT, "Yes.")) == []


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ({"a": "{completion}"}, {"fields", "tools"}),
        ({"a": "{completion}", "p": "{prompt}"}, {"fields", "tools"}),
        ({"c": "{conversation}"}, {"fields"}),
        ({"c": "{conversation}", "t": "{tools}"}, {"fields", "tools"}),
        ({"a": "{completion}", "m": "{messages}"}, {"fields"}),
    ],
)
def test_the_http_judge_says_whether_tools_are_sent(body, read):
    assert reads_beside(HttpJudge(url="https://host/score", body=body)) == read


@pytest.mark.parametrize(
    ("parameters", "read"),
    [
        ("prompt, completion", set()),
        ("prompt, completion, tools", {"tools"}),
        ("prompt, completion, *, tools=(), fields=None", {"fields", "tools"}),
    ],
)
def test_a_function_gets_whole_messages_and_what_it_has_parameters_for(tmp_path, parameters, read):
    path = tmp_path / "judge.py"
    path.write_text(
        f"def score({parameters}):\n"
        f"    assert prompt == {PROMPT!r}, prompt\n"
        "    given = {n: v for n, v in locals().items() if n in ('tools', 'fields')}\n"
        f"    whole = {{'tools': {TOOLS!r}, 'fields': {FIELDS!r}}}\n"
        "    assert given == {n: whole[n] for n in given}, given\n"
        "    prompt[0]['content'] = given.clear()\n"
        "    return 1\n"
    )
    judge = PythonJudge(function=f"file:{path}:score")
    assert reads_beside(judge) == read
    with judge.open_scoring(UNUSED) as session:
        (scored,) = session.score([Answer("1", PROMPT, "Yes.", FIELDS, TOOLS)])
    assert (scored.value, scored.reason) == (1.0, "")
    assert PROMPT[0]["content"] == "Cold?"


def test_a_function_that_is_no_def_gets_prompt_and_completion(tmp_path):
    path = tmp_path / "judge.py"
    path.write_text("score = lambda prompt, completion, tools=None: 1 if tools is None else 0\n")
    judge = PythonJudge(function=f"file:{path}:score")
    assert reads_beside(judge) == set()
    with judge.open_scoring(UNUSED) as session:
        (scored,) = session.score([Answer("1", PROMPT, "Yes.", FIELDS, TOOLS)])
    assert scored.value == 1.0


WHOLE = (
    "{{ tools | tojson if tools }}"
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.name }}{{ m.reasoning_content }}{{ m.content }}"
    "{% for call in m.tool_calls %}{{ call.function | tojson }}{% endfor %}"
    "{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ASKED = Answer("1", PROMPT, "Yes.", FIELDS, TOOLS)


def reader(template, notes):
    tokenizer = make_tokenizer()
    use_template(tokenizer, template)
    return tokenizer, Reader(tokenizer, notes, reads="conversation", limit=10_000)


def test_a_reward_model_of_halo_reads_tools_and_fields_as_in_training():
    tokenizer, ours = reader(WHOLE, ModelNotes(score_at="completion-end"))
    row = ChatRow(
        "p",
        conversation.Conversation(PROMPT, TOOLS),
        (conversation.Answer("Yes.", FIELDS),),
    )
    (trained,) = ChatEncoder(ChatFormat(tokenizer), 10_000).rows([row])
    read = ours.read(ASKED).ids
    assert read == [*trained.prompt_ids, *trained.answers[0].ids]
    text = tokenizer.decode(read)
    assert "Few degrees." in text
    assert text.count("weather") == 4


def test_another_reward_model_reads_them_through_its_template():
    tokenizer, theirs = reader(WHOLE, ModelNotes())
    text = tokenizer.decode(theirs.read(ASKED).ids)
    assert "Ana" in text
    assert "Few degrees." in text
    assert text.count("weather") == 4


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (Answer("1", PROMPT[:1], "Yes."), "name"),
        (Answer("1", [{"role": "user", "content": "Cold?"}], "Yes.", None, TOOLS), "tools"),
        (Answer("1", [{"role": "user", "content": "Cold?"}], "Yes.", FIELDS), "reasoning_content"),
    ],
)
def test_what_the_template_of_a_reward_model_leaves_out_is_named(answer, what):
    for notes in (ModelNotes(), ModelNotes(score_at="completion-end")):
        _, theirs = reader(None, notes)
        with pytest.raises(ValueError, match=f"the chat template leaves out {what}"):
            theirs.read(answer)


def test_without_a_template_a_reward_model_reads_them_as_text():
    tokenizer = make_tokenizer()
    theirs = Reader(tokenizer, ModelNotes(), reads="conversation", limit=10_000)
    assert tokenizer.decode(theirs.read(ASKED).ids) == PROMPT_TEXT + ANSWER_TEXT
    alone = Reader(tokenizer, ModelNotes(), reads="completion", limit=10_000)
    assert tokenizer.decode(alone.read(ASKED).ids) == ANSWER_TEXT


def test_what_a_judge_does_not_read_is_told_once_with_numbers():
    told = []
    rows = [BesideTexts(TOOLS, (FIELDS, None)), BesideTexts(None, ({"thinking": "?"}, FIELDS))]
    warn_of_the_unread(Longest(), rows, told.append)
    assert told == [
        "1 of 2 prompts offer tools, 2 of 4 completions hold reasoning_content, 1 of 4 completions "
        "hold thinking, 2 of 4 completions hold tool_calls, which Longest does not read"
    ]
    whole = [RewardModel(path=None, hub="some/model"), GPT4(api_key_env=None)]
    for judge in whole:
        warn_of_the_unread(judge, rows, told.append)
    warn_of_the_unread(Longest(), [BesideTexts(None, (None, {}))], told.append)
    assert len(told) == 1


class Odd(Longest):
    """Declares that it reads a part that does not exist."""

    def reads_beside(self):
        return ["tools", "smells"]


def test_a_judge_that_says_something_else_is_blamed():
    with pytest.raises(PluginError) as told:
        reads_beside(Odd())
    assert (
        "reads_beside() returned ['tools', 'smells']; expected a set of 'tools' and 'fields'"
        in (str(told.value))
    )
