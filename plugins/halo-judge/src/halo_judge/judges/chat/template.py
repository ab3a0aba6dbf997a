"""Templates of a judge's request and reply: a TOML file and its hash.

    cut_hanging_sentences = false
    break_role_markers = true       # default false
    system = "..."                  # may be empty
    user = "... {prompt} ... {a} ... {b} ..."
    reminder = "..."                # sent once if a reply cannot be read
    [answer]
    form = "json"                   # or "last-line"
    key = "verdict"                 # of the JSON object; with last-line: pattern = "... (1|2)"
    [answer.labels]
    A = "A"
    B = "B"
    tie = "tie"                     # left out if there are no ties

``{fence}`` is a mark that is computed from the texts and does not occur in them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from halo_core.hashing import short_hash
from halo_core.judge import Comparison
from halo_judge.judges.chat.option_file import bytes_of
from halo_judge.judges.chat.reading import AnswerForm
from halo_judge.judges.prompt_text import answer_text, prompt_text

FOLDER = Path(__file__).parent / "templates"
_PLACE = re.compile(r"\{(prompt|a|b|fence)\}")
_ROLE_MARKER = re.compile(
    r"<(?=[|\uff5c]\w)|[|\uff5c](?=>)"  # <|im_start|>, also with the wide bars of some models
    r"|<(?=/?(?:s|bos|eos|start_of_turn|end_of_turn)>)|<(?=</?SYS>>)|\[(?=/?INST\])",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*(?=\s|$)")  # noqa: RUF001


class Template(BaseModel):
    """A template. `digest` is the hash of its file and a part of each verdict's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    description: str = ""
    cut_hanging_sentences: bool = False
    break_role_markers: bool = False
    system: str = ""
    user: str
    reminder: str = Field(min_length=1)
    answer: AnswerForm
    digest: str

    @model_validator(mode="after")
    def _complete(self) -> Template:
        lacking = [name for name in ("{prompt}", "{a}", "{b}") if name not in self.user]
        if lacking:
            raise ValueError(
                f"user has no {' and no '.join(lacking)}; expected places for {{prompt}}, {{a}} "
                "and {b}"
            )
        labels = self.answer.labels
        if not {"A", "B"} <= set(labels) or len(set(labels.values())) < len(labels):
            raise ValueError(f"answer.labels are {labels}; expected different ones for A and B")
        return self

    def messages(self, comparison: Comparison) -> list[dict[str, str]]:
        """Returns the messages that ask for a verdict, in the form of the chat API."""
        asked = [{"role": "user", "content": self._fill(self.user, comparison)}]
        if self.system:
            asked.insert(0, {"role": "system", "content": self._fill(self.system, comparison)})
        return asked

    def shown(self, comparison: Comparison) -> Comparison:
        """Returns the comparison as the judge sees it, without hanging sentences if requested."""
        if not self.cut_hanging_sentences:
            return comparison
        a, b = cut_hanging_sentence(comparison.a), cut_hanging_sentence(comparison.b)
        return replace(comparison, a=a, b=b)

    def _fill(self, text: str, comparison: Comparison) -> str:
        prompt = prompt_text(comparison.prompt, comparison.tools)
        a = answer_text(comparison.a, comparison.a_fields)
        b = answer_text(comparison.b, comparison.b_fields)
        fence = _fence(prompt, a, b)
        parts = {"prompt": prompt, "a": a, "b": b}
        if self.break_role_markers:
            parts = {name: break_role_markers(part) for name, part in parts.items()}
        parts["fence"] = fence
        # Done in one pass, so that a text with "{a}" stays unchanged.
        return _PLACE.sub(lambda place: parts[place.group(1)], text)


def says_the_same(shown: Comparison) -> bool:
    """Returns whether both completions are the same, in which case nothing is asked."""
    return shown.a == shown.b and (shown.a_fields or None) == (shown.b_fields or None)


def _fence(*texts: str) -> str:
    """Returns a mark that no text contains. It depends on all texts and is always the same."""
    together = "\x00".join(texts).encode("utf-8", "surrogatepass")
    return short_hash(together, 12)


def break_role_markers(text: str) -> str:
    """Returns a text with a blank inside each marker that starts or ends messages in chat formats.

    Some endpoints tokenise texts with the special tokens of their model, and would read such a
    marker as the start of another message. Other text stays unchanged.

    >>> break_role_markers("<|im_start|>system, [INST], <b>, a < b")
    '< |im_start| >system, [ INST], <b>, a < b'
    """
    return _ROLE_MARKER.sub(lambda marker: f"{marker.group()} ", text)


def cut_hanging_sentence(text: str) -> str:
    """Returns a text up to its last complete sentence; the whole text if there is none.

    >>> cut_hanging_sentence('Cows moo. "So what?" And the')
    'Cows moo. "So what?"'
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text


def template_names() -> list[str]:
    """Returns the names of the templates that come with this distribution."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_template(name: str, file: str | None = None) -> Template:
    """Returns a built-in template, or the one in a file.

    Raises:
        ValueError: When there is none, or it is not a template. The message says what is wrong.
    """
    if file is not None:
        return read_template(Path(file))
    if name not in template_names():
        raise ValueError(
            f"no template {name!r}; expected one of {', '.join(template_names())}. "
            "For one of your own: template_file: PATH"
        )
    return read_template(FOLDER / f"{name}.toml")


def read_template(path: Path) -> Template:
    """Returns the template in a file.

    Raises:
        ValueError: When there is no such file, or it is not a template.
    """
    raw = bytes_of(path, "a template in TOML")
    try:
        parts = tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}; expected a template in TOML") from None
    texts = {k: v.strip("\n") if isinstance(v, str) else v for k, v in parts.items()}
    digest = short_hash(raw)
    try:
        return Template.model_validate({**texts, "digest": digest})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {where + ': ' if where else ''}{message}") from None
