"""What a chat template writes of a row: the text of the prompt, and the text that is trained.

Each row is rendered twice: as a prompt that an answer is to follow, which is what sampling sees,
and with its answer. What the second adds to the first is what the model learns, up to the first
mark that ends the answer. The rules are in docs/explanation/encoding.md.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Message
from halo_models.chat_renderer import ChatRenderer
from halo_models.content_places import ContentPlaces
from halo_models.conversation import (
    CHANGED,
    DIFFERS,
    SPELLS,
    THOUGHTS,
    Answer,
    ChatOptions,
    Conversation,
    RenderedAnswer,
    TemplateMismatchError,
)
from halo_models.left_out import LeftOut
from halo_models.templates import alternatives
from halo_models.tokenise import CUT, Tokeniser
from halo_models.turn_marks import added_tokens, protected_tokens, turn_marks


class ChatFormat:
    """A tokenizer's chat template, as training, sampling and judging use it.

    Args:
        tokenizer: With a chat template inside.
        options: How rows become text.

    Attributes:
        tokeniser: Turns the rendered texts into ids.
        end_id: The token that ends an answer.

    Raises:
        UserError: When a content token is no added token, or ends answers.
    """

    def __init__(self, tokenizer: Any, options: ChatOptions | None = None) -> None:
        self.options = options or ChatOptions()
        self._tokenizer = tokenizer
        self._renderer = ChatRenderer(tokenizer, self.options.date)
        self._left_out = LeftOut(self._renderer)
        marks = turn_marks(tokenizer, self.options.date)
        protected = protected_tokens(tokenizer, marks, self.options.content_tokens or ())
        self._pretemplated = self.options.pretemplated
        # Text that holds the marks of a template is tokenised as it stands.
        self.tokeniser = Tokeniser(tokenizer, () if self._pretemplated else protected)
        # A mark that the tokenizer reads as letters ends nothing.
        self._marks = frozenset(self.tokeniser.recognised(protected))
        self._end_marks = [mark for mark in marks.ends if mark in self._marks]
        self._mark_lengths = sorted(set(map(len, self._marks)), reverse=True)
        added = added_tokens(tokenizer)
        self._added = alternatives(added)
        self._longest = max(map(len, added), default=0)
        vocabulary = tokenizer.get_vocab()
        end = self._end_marks[0] if self._end_marks else tokenizer.eos_token
        self.end_id = int(vocabulary[end])

    def prompt_text(self, conversation: Conversation) -> str:
        """Returns the text of a prompt, up to where the answer begins.

        Raises:
            TemplateMismatchError: When the template refuses it, or leaves something out.
        """
        if self._pretemplated:
            return self._written_prompt(conversation)
        marked = self._marked(conversation)
        text = self._renderer.render(marked, marked.prompt, answer_follows=True)
        self._left_out.check_prompt(marked, marked.prompt, text)
        return text

    def answer_text(
        self, conversation: Conversation, answer: Answer, prompt: str | None = None
    ) -> RenderedAnswer:
        """Returns the text of a prompt with an answer.

        Args:
            conversation: The prompt.
            answer: Its answer.
            prompt: The prompt's text, where it is known already.

        Raises:
            TemplateMismatchError: When the template refuses it, leaves something out, or writes
                another prompt before the answer than it writes for sampling.
        """
        start = self.prompt_text(conversation) if prompt is None else prompt
        if self._pretemplated:
            return self._written_answer(start, answer)
        marked = self._marked(conversation)
        messages = [*marked.prompt, self.tokeniser.mark(answer.message)]
        text = self._renderer.render(marked, messages, answer_follows=False)
        self._left_out.check_answer(marked, messages, text)
        places = ContentPlaces(self._renderer, marked, messages, text)
        length, remarks = self._prompt_length(start, places, conversation.place)
        content = messages[-1]["content"]
        # Where the generation prompt begins the answer, so may the content.
        if content not in text[max(0, length - len(content)) :]:
            remarks.add(CHANGED)
        if CUT in text:
            remarks.add(SPELLS)
        learned, ends = self._learned(text[length:], answer, places, length)
        return RenderedAnswer(start[:length], learned, ends, frozenset(remarks))

    def whole_text(self, conversation: Conversation, answer: Answer) -> str:
        """Returns all that the template writes of a prompt with its answer.

        Raises:
            TemplateMismatchError: When the template refuses it, or leaves something out.
        """
        marked = self._marked(conversation)
        messages = [*marked.prompt, self.tokeniser.mark(answer.message)]
        text = self._renderer.render(marked, messages, answer_follows=False)
        self._left_out.check_whole(marked, messages, text)
        return text

    def content(self, conversation: Conversation, text: str) -> str:
        """Returns what a model wrote behind a prompt, as the content of a message.

        It lacks what the template writes in front of every content, such as an empty block of
        thoughts, and begins with what the generation prompt begins, such as `<think>`, where the
        template takes that for content: so that the template writes the same text again.
        """
        probe = "an answer"
        try:
            start = self.prompt_text(conversation)
            answer = self.answer_text(conversation, Answer(probe), start)
            opened = start[len(answer.prompt) :]
            again = self.answer_text(conversation, Answer(opened + probe), start)
        except TemplateMismatchError:
            return text
        if opened:
            return opened + text if again.prompt == start else text
        before, found, _ = answer.trained.partition(probe)
        return text.removeprefix(before) if found else text

    def _prompt_length(self, start: str, places: ContentPlaces, place: str) -> tuple[int, set[str]]:
        """Returns how much of the whole text is the prompt, and what is to say of it."""
        text = places.text
        if text.startswith(start):
            return len(start), set()
        alike = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(start, text, strict=False))
        )
        # Letters that the answer happens to share with the generation prompt are the answer's.
        length = min(alike, places.content_begin())
        # So are those of a token, such as of <think> where an answer begins with <tool_call>.
        length = min(self._whole(start, length), self._whole(text, length))
        if length < places.question_end():
            raise _mismatch(start, text, length, place)
        return length, {DIFFERS}

    def _whole(self, text: str, length: int) -> int:
        """Returns a length up to which no added token is cut in two."""
        for token in self._added.finditer(text, max(0, length - self._longest)):
            if token.start() < length < token.end():
                return token.start()
        return length

    def _learned(
        self, rest: str, answer: Answer, places: ContentPlaces, length: int
    ) -> tuple[str, bool]:
        """Returns what is learned of the text behind a prompt, and whether a mark ends it."""
        mark = self._end_of_answer(rest)
        if mark is not None and answer.ended:
            return rest[: mark[1]], True
        if any(value and name not in THOUGHTS for name, value in answer.fields.items()):
            # Calls of tools may stand behind the content.
            return rest[: len(rest) if mark is None else mark[0]].rstrip(), False
        return rest[: places.content_end() - length], False

    def _end_of_answer(self, rest: str) -> tuple[int, int] | None:
        """Returns where the first mark that ends the answer stands; None where there is none.

        The marks and the white space that a text ends with are the template's; what is before
        them is the answer. Content that spells a mark is no mark: it holds a `CUT`.
        """
        position = len(rest)
        found: list[tuple[int, int]] = []
        while True:
            position = len(rest[:position].rstrip())
            begins = (position - length for length in self._mark_lengths if length <= position)
            begin = next((b for b in begins if rest[b:position] in self._marks), None)
            if begin is None:
                break
            found.append((begin, position))
            position = begin
        known = [place for place in found if rest[slice(*place)] in self._end_marks]
        return next(reversed(known or found), None)

    def _written_prompt(self, conversation: Conversation) -> str:
        prompt = conversation.prompt
        if len(prompt) != 1 or prompt[0]["role"] != "user":
            roles = ", ".join(message["role"] for message in prompt)
            raise DataError(
                f"the prompt has the turns {roles}; with pretemplated: true it has to be one text "
                "with the template's marks inside",
                location=conversation.place,
            )
        text = prompt[0]["content"]
        bos = self._tokenizer.bos_token
        has_bos = bos is None or text.startswith(bos)
        return text if has_bos or not self._writes_bos() else bos + text

    def _writes_bos(self) -> bool:
        probe: list[Message] = [{"role": "user", "content": "probe"}]
        text = self._renderer.render(Conversation(probe), probe, answer_follows=True)
        return text.startswith(self._tokenizer.bos_token)

    def _written_answer(self, start: str, answer: Answer) -> RenderedAnswer:
        text = answer.content
        mark = self._end_of_answer(text)
        if mark is None or not answer.ended:
            return RenderedAnswer(start, text, False)
        return RenderedAnswer(start, text[: mark[1]], True)

    def _marked(self, conversation: Conversation) -> Conversation:
        """Returns a prompt and its tools with a `CUT` in all that only spells a control token."""
        return replace(
            conversation,
            prompt=self.tokeniser.mark(conversation.prompt),
            tools=self.tokeniser.mark(conversation.tools),
        )


def _mismatch(start: str, full: str, length: int, place: str) -> TemplateMismatchError:
    begin = max(0, length - 40)
    shown, other = (repr(text[begin : length + 60].replace(CUT, "")) for text in (start, full))
    return TemplateMismatchError(
        "the chat template writes another prompt with the answer than without it: "
        f"...{shown} before an answer is there, and ...{other} with it",
        "Give a template that writes both alike",
        place,
        "the chat template writes another prompt with the answer than without it",
    )


def end_ids(tokenizer: Any, model: Any) -> list[int]:
    """Returns the ids of all tokens at which sampling stops, the trained one first."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    known = configured if isinstance(configured, list) else [configured]
    ids = [ChatFormat(tokenizer).end_id, tokenizer.eos_token_id, *known]
    return list(dict.fromkeys(int(i) for i in ids if i is not None))
