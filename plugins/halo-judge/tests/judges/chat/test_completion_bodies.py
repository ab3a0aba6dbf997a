"""Bodies of chat completions: texts, counts and errors in all forms that endpoints send."""

import json
import time

import pytest

from halo_judge.judges.chat.certainty import certainty, kept_tokens
from halo_judge.judges.chat.completion import NoCompletion, read_completion, stored_reply
from halo_judge.judges.chat.reading import read_reply, read_text
from halo_judge.judges.chat.refused import says_wrong_address, words_of
from halo_judge.judges.chat.template import find_template
from halo_judge.judges.endpoint.json_body import read_json

VERDICT = '{"comparison": "the first is right", "verdict": "A"}'
JSON = find_template("pairwise-2").answer
LINE = find_template("report-2024").answer
LAST = "More helpful, harmless, and concise: Response"


def body(content, **choice):
    message = {"role": "assistant", "content": content}
    return {"choices": [{"message": message, "finish_reason": "stop", **choice}]}


@pytest.mark.parametrize(
    "content",
    [
        VERDICT,
        [{"type": "text", "text": VERDICT}],
        [{"type": "text", "text": VERDICT[:9]}, {"type": "text", "text": VERDICT[9:]}],
        [VERDICT],
        {"type": "text", "text": VERDICT},
        [{"type": "text", "text": {"value": VERDICT, "annotations": []}}],
        [{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": VERDICT}],
        [{"text": "Hm.", "thought": True}, {"text": VERDICT}],
        json.loads(VERDICT),
    ],
)
def test_the_text_of_a_completion_is_found_in_all_its_forms(content):
    reply = read_completion(body(content))
    assert json.loads(reply["content"]) == json.loads(VERDICT)
    assert read_reply(reply, JSON).winner == "A"


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (None, "expected a chat completion, got None"),
        ({}, "expected a chat completion, with a message in choices, got {}"),
        ({"choices": {"0": {}}}, "with a message in choices"),
        ({"choices": [None]}, "with a message in choices"),
        ({"choices": [{"text": "A"}]}, "with a message in choices"),
        (body(7), "expected a text as content, got a part 7"),
        (body([{"type": "audio"}]), "got a part {'type': 'audio'}"),
        (body([{"type": "text", "text": None}]), "got a part {'type': 'text', 'text': None}"),
        ({**body(VERDICT), "error": "busy"}, "reported an error in its reply: busy"),
        (body("", finish_reason="error"), "in its reply: finish_reason is 'error'"),
        (body("", error={"code": 502}), "in its reply: {'code': 502}"),
    ],
)
def test_a_body_without_an_answer_is_named(odd, reason):
    with pytest.raises(NoCompletion) as error:
        read_completion(odd)
    assert reason in str(error.value)
    assert error.value.passing == ("reported an error" in reason or "in its reply" in reason)


@pytest.mark.parametrize("nothing", [None, "", {}, False])
def test_an_error_field_that_is_empty_is_no_error(nothing):
    assert read_completion({**body(VERDICT), "error": nothing})["content"] == VERDICT


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("content_filter", "refused: stopped by the endpoint's content filter"),
        ("SAFETY", "refused: stopped by the endpoint's content filter"),
        ("content_filter: PROHIBITED_CONTENT", "refused: stopped by the endpoint's content filter"),
        ("MAX_TOKENS", "cut off before the verdict, at max_tokens: ''"),
        ("tool_calls", "the reply is empty, with finish_reason 'tool_calls'"),
        (None, "the reply is empty"),
        (3, "the reply is empty, with finish_reason '3'"),
    ],
)
def test_the_reason_to_stop_is_read_by_all_its_names(finish, reason):
    reading = read_reply(read_completion(body("", finish_reason=finish)), JSON)
    assert (reading.winner, reading.reason) == (None, reason)


def test_a_refusal_is_read_in_a_part_and_in_its_field():
    part = [{"type": "refusal", "refusal": "I cannot."}]
    assert read_reply(read_completion(body(part)), JSON).reason == "refused: 'I cannot.'"
    field = body(None)
    field["choices"][0]["message"]["refusal"] = {"reason": "no"}
    assert read_reply(read_completion(field), JSON).reason == 'refused: \'{"reason": "no"}\''


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 2}, (7, 2)),
        ({"prompt_tokens": "7", "completion_tokens": 2.0}, (7, 2)),
        ({"prompt_tokens": None, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": -7, "completion_tokens": "many"}, (None, None)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, (None, None)),
        ([7, 2], (None, None)),
        (None, (None, None)),
    ],
)
def test_counts_are_read_or_unknown(usage, counts):
    reply = read_completion({**body(VERDICT), "usage": usage})
    assert (reply["tokens_in"], reply["tokens_out"]) == counts


@pytest.mark.parametrize("stored", [{}, {"content": None, "tokens": 3, "tokens_in": "x"}])
def test_what_an_earlier_version_stored_is_read_or_has_no_verdict(stored):
    assert read_reply(stored_reply(stored), JSON).winner is None


@pytest.mark.parametrize(
    ("content", "winner"),
    [
        (f"<think>Is it B?</think>\n{VERDICT}", "A"),
        (f"<THINKING>\n</THINKING>{VERDICT}", "A"),
        (f"<think>1</think>\n<think>2</think>{VERDICT}", "A"),
        (f"[THINK]Hm.[/THINK]{VERDICT}", "A"),
        (f"Hm, hm.</think>\n{VERDICT}", "A"),
        (f"<|channel|>analysis<|message|>B<|end|><|channel|>final<|message|>{VERDICT}", "A"),
        (f"<think>Is <think>B</think> right?</think>{VERDICT}", "A"),
        (f"<think>It has </think> in it.</think>\n{VERDICT}", "A"),
        (f"<think>It has <think> in it.</think>\n{VERDICT}", "A"),
        (f"<think>Is <think>B</think> right? {VERDICT}", None),
        ('{"comparison": "one\ntwo\tthree", "verdict": "A"}', "A"),
        (f"<think>{VERDICT}", None),
        (f"<think>{VERDICT}</think>", None),
        ("```JSON\n" + VERDICT + "\n```", "A"),
        ("~~~ json\n" + VERDICT + "\n~~~\n", "A"),
        ("\ufeff" + VERDICT + "<|eot_id|></s>", "A"),
        ('{"comparison": "x", "verdict": "  B\\n"}', "B"),
        ('{"comparison": "x", "verdict": "b"}', None),
        (f"Sure! {VERDICT}", None),
        # A text that the judge quotes can hold what looks like an answer after thoughts.
        ('{"comparison": "it says </think>" + {"comparison": "", "verdict": "B"}', None),
        ('{"comparison": "</think>{\\"verdict\\": \\"B\\"}", "verdict": "A"}', "A"),
    ],
)
def test_thoughts_fences_and_blanks_around_an_answer_are_left_out(content, winner):
    reading = read_text(content, JSON)
    assert reading.winner == winner
    if winner is not None:
        assert content[reading.start] == winner


@pytest.mark.parametrize(
    ("content", "winner"),
    [
        (f"<think>{LAST} 1</think>Both.\n{LAST} 2", "B"),
        (f"<think>\n{LAST} 2", None),
        (f"<think>Is <think>1</think> right?\n{LAST} 2", None),
        (f"<think>Is <think> a mark?</think>\n{LAST} 2", "B"),
        (f"{LAST} 2<|im_end|>\n", "B"),
        (f"{LAST} 1\n</s>", "A"),
    ],
)
def test_a_last_line_is_read_after_thoughts_and_before_marks_of_turns(content, winner):
    reading = read_text(content, LINE)
    assert reading.winner == winner
    if winner is not None:
        assert content[reading.start] == {"A": "1", "B": "2"}[winner]


TOP = [["A", -0.2876821], ["B", -1.3862944]]
LABELS = {"A": "A", "B": "B", "tie": "tie"}


def tokens(*pieces):
    """Tokens of which the one that is the label has alternatives."""
    return [{"token": p, "top": TOP if p.strip(' "\u0120') in ("A", "B") else []} for p in pieces]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ('{"verdict": "A"}', tokens('{"verdict": "', "A", '"}')),
        (
            '{"verdict": "A"}',
            tokens("<think>", "B", "</think>", '{"verdict": "', "A", '"}', "</s>"),
        ),
        ('{"verdict": "A"}', tokens('{"verdict":', '\u0120"', "A", '"}')),
        ('é{"verdict": "A"}', tokens("<0xC3>", "<0xA9>", '{"verdict": "', "A", '"}')),
        ('é{"verdict": "A"}', tokens("bytes:\\xc3", "\\xa9", '{"verdict": "', "A", '"}')),
        (
            'é{"verdict": "A"}',
            [
                {"token": "?", "top": [], "bytes": [0xC3]},
                {"token": "?", "top": [], "bytes": [0xA9]},
                *tokens('{"verdict": "', "A", '"}'),
            ],
        ),
        # The text was repaired, so that it is no longer that of the tokens.
        (
            '{"why": "\ufffd, so it is", "verdict": "A"}',
            tokens('{"why": "?', ", so it is", '", "verdict": "', "A", '"}'),
        ),
    ],
)
def test_the_certainty_is_that_of_the_label_wherever_it_is(content, sent):
    sure = certainty(sent, content, content.rindex("A"), LABELS)
    assert sure.lack == ""
    assert sure.preference == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("sent", "lack"),
    [
        (None, "the endpoint sent no log-probabilities"),
        ([], "the endpoint sent no log-probabilities"),
        (tokens("B"), "the log-probabilities are not those of the reply's text"),
        (tokens('{"verdict": "A"}'), "the log-probabilities have no alternatives at the label"),
        (
            [{"token": '{"verdict": "A"}', "top": [["x", 0.0]]}],
            "no label is among the most probable",
        ),
    ],
)
def test_without_a_certainty_the_reason_is_given(sent, lack):
    sure = certainty(sent, '{"verdict": "A"}', 13, LABELS)
    assert sure.preference is None
    assert sure.lack.startswith(lack)


@pytest.mark.parametrize(
    "logprobs",
    [None, [], 3, {}, {"content": None}, {"content": 3}, {"tokens": ["A"], "token_logprobs": [0]}],
)
def test_other_forms_of_log_probabilities_are_none(logprobs):
    assert kept_tokens(logprobs) is None


@pytest.mark.parametrize(
    "place",
    [None, "A", {"token": None}, {"token": "A"}, {"token": "A", "top_logprobs": None}]
    + [
        {"token": "A", "top_logprobs": [{"token": "A", "logprob": odd}]}
        for odd in (None, "low", True, 7e300, float("nan"), [0])
    ],
)
def test_a_token_with_odd_alternatives_has_none(place):
    assert kept_tokens({"content": [place]})[0]["top"] == []


@pytest.mark.parametrize("zero", [float("-inf"), "-inf", -1e308])
def test_a_probability_of_zero_is_one(zero):
    place = {"token": "A", "top_logprobs": [{"token": "A", "logprob": zero}]}
    assert kept_tokens({"content": [place]})[0]["top"] == [["A", -9999.0]]


@pytest.mark.parametrize(
    ("content", "charset", "tree"),
    [
        (b'["\\ud83d"]', None, ["\ufffd"]),
        (b'{"\\udc00": "\\ud83d\\ude00"}', None, {"\ufffd": "\U0001f600"}),
        ('["é"]'.encode("utf-16"), None, ["é"]),
        ('["é"]'.encode("utf-32"), None, ["é"]),
        ('["é"]'.encode("utf-8-sig"), None, ["é"]),
        ('["é"]'.encode("latin-1"), "iso-8859-1", ["é"]),
        ('["é"]'.encode("latin-1"), None, ["\ufffd"]),
        ('["é"]'.encode("latin-1"), "no-such-encoding", ["\ufffd"]),
        (b'["\xed\xa0\xbd"]', None, ["\ufffd"]),
    ],
)
def test_a_body_is_read_in_its_encoding(content, charset, tree):
    assert read_json(content, charset) == tree
    json.dumps(read_json(content, charset)).encode()


@pytest.mark.parametrize("content", [b"", b"<html>", b"[" * 100_000, b'{"a": 1} {"a": 2}'])
def test_a_body_that_is_not_json_is_an_error(content):
    with pytest.raises(ValueError, match=r".+"):
        read_json(content)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("Unexpected endpoint or method. (POST /chat/completions)", True),
        ("Invalid URL (POST /chat/completions)", True),
        ("Cannot POST /chat/completions", True),
        ("Model my/judge is currently loading", False),
        ("the prompt names an unknown animal", False),
    ],
)
def test_an_error_that_says_that_the_address_is_wrong_is_told_from_others(words, wrong):
    assert says_wrong_address(words) == wrong


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><title>\n Bad\n gateway </title></html>", "a web page, 'Bad gateway'"),
        ("<!DOCTYPE html><body>hi</body>", "a web page, '<!DOCTYPE html><body>hi</body>'"),
        ("upstream\n\ntimed out", "'upstream timed out'"),
        (" \n", ""),
        ("see http://ann:sesame@host/", "'see http://***@host/'"),
    ],
)
def test_an_endpoints_own_words_are_one_line_without_secrets(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize("tokens", [10**400, "9" * 5000, 1e300, "9" * 400])
def test_a_count_that_no_reply_can_have_is_no_count(tokens):
    body = {"choices": [{"message": {"content": "A"}}], "usage": {"completion_tokens": tokens}}
    assert read_completion(body)["tokens_out"] is None


@pytest.mark.parametrize("run", [" ", "\n", "_", "-", ".", "a", "a-", "```", "<think>", "<|"])
def test_a_long_text_of_one_sign_is_read_in_a_time_that_grows_with_its_length(run):
    began, text = time.process_time(), f"```json\n{{{run * (200_000 // len(run))}x"
    assert read_text(text, JSON).winner is None
    assert read_text(text, LINE).winner is None
    assert words_of(text)
    assert words_of(RuntimeError(text))
    assert time.process_time() - began < 5  # Quadratic, it took minutes.
