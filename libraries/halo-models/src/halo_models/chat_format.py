"""The text of a row from a chat template: the prompt, and the part that is trained.

Each row is rendered twice: once as a prompt before an answer, as sampling sees it, and once with
the answer. The model learns the text that the second rendering adds, up to the first mark that ends
the answer. docs/explanation/encoding.md has the rules.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from halo_core.errors import DataError
from halo_core.feedback import Message
from halo_models.chat_renderer import ChatRenderer
from halo_models.content_places import ContentPlaces
from halo_models.continuations import Continuations
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
        tokenizer: A tokenizer with a chat template.
        options: Options for rendering rows.

    Attributes:
        tokeniser: Converts the rendered texts into ids.
        continuations: Converts texts whose prompts are converted already.
        end_id: Id of the token that ends an answer.

    Raises:
        UserError: When a content token is not an added token, or ends answers.
    """

    def __init__(self, tokenizer: Any, options: ChatOptions | None = None) -> None:
        self.options = options or ChatOptions()
        self._tokenizer = tokenizer
        self._renderer = ChatRenderer(tokenizer, self.options.date)
        self._left_out = LeftOut(self._renderer)
        marks = turn_marks(tokenizer, self.options.date)
        protected = protected_tokens(tokenizer, marks, self.options.content_tokens or ())
        self._pretemplated = self.options.pretemplated
        # Text that already contains the marks of a template is tokenised unchanged.
        self.tokeniser = Tokeniser(tokenizer, () if self._pretemplated else protected)
        self.continuations = Continuations(tokenizer, self.tokeniser.encode)
        # A mark that the tokenizer reads as ordinary letters ends nothing.
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
        """Returns the text of a prompt, up to the point where the answer begins.

        Raises:
            TemplateMismatchError: When the template refuses the prompt, or leaves something out.
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
            prompt: The prompt's text, if it is already known.

        Raises:
            TemplateMismatchError: When the template refuses the messages, leaves something out, or
                writes another prompt before the answer than it writes for sampling.
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
        # If the generation prompt contains the beginning of the answer, it may contain content too.
        if content not in text[max(0, length - len(content)) :]:
            remarks.add(CHANGED)
        if CUT in text:
            remarks.add(SPELLS)
        learned, ends = self._learned(text[length:], answer, places, length)
        return RenderedAnswer(start[:length], learned, ends, frozenset(remarks))

    def whole_text(self, conversation: Conversation, answer: Answer) -> str:
        """Returns everything that the template writes for a prompt with its answer.

        Raises:
            TemplateMismatchError: When the template refuses the messages, or leaves something out.
        """
        marked = self._marked(conversation)
        messages = [*marked.prompt, self.tokeniser.mark(answer.message)]
        text = self._renderer.render(marked, messages, answer_follows=False)
        self._left_out.check_whole(marked, messages, text)
        return text

    def content(self, conversation: Conversation, text: str) -> str:
        """Returns the text that a model wrote after a prompt, as the content of a message.

        It leaves out what the template writes before every content, such as an empty block of
        thoughts. It begins with the part that the generation prompt already contains, such as
        `<think>`, if the template treats that as content. So the template writes the same text
        again.
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
        """Returns how much of the whole text is the prompt, and the remarks about it."""
        text = places.text
        if text.startswith(start):
            return len(start), set()
        alike = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(start, text, strict=False))
        )
        # Letters that the answer shares with the generation prompt by chance belong to the answer.
        length = min(alike, places.content_begin())
        # The same is true of a token, such as <think> if an answer begins with <tool_call>.
        length = min(self._whole(start, length), self._whole(text, length))
        if length < places.question_end():
            raise _mismatch(start, text, length, place)
        return length, {DIFFERS}

    def _whole(self, text: str, length: int) -> int:
        """Returns a length that does not cut any added token in two."""
        for token in self._added.finditer(text, max(0, length - self._longest)):
            if token.start() < length < token.end():
                return token.start()
        return length

    def _learned(
        self, rest: str, answer: Answer, places: ContentPlaces, length: int
    ) -> tuple[str, bool]:
        """Returns the learned text after a prompt, and whether a mark ends it."""
        mark = self._end_of_answer(rest)
        if mark is not None and answer.ended:
            return rest[: mark[1]], True
        if any(value and name not in THOUGHTS for name, value in answer.fields.items()):
            # Tool calls may follow the content.
            return rest[: len(rest) if mark is None else mark[0]].rstrip(), False
        return rest[: places.content_end() - length], False

    def _end_of_answer(self, rest: str) -> tuple[int, int] | None:
        """Returns where the first mark that ends the answer is; None if there is none.

        The marks and the white space at the end of a text belong to the template; the text before
        them is the answer. Content that spells a mark is not a mark: it contains a `CUT`.
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
        """Returns a prompt and its tools with a `CUT` in every text that spells a control token."""
        prompt, tools = map(self.tokeniser.mark, (conversation.prompt, conversation.tools))
        return Conversation(prompt, tools, conversation.place)


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
    """Returns the ids of all tokens at which sampling stops, beginning with the trained one."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    known = configured if isinstance(configured, list) else [configured]
    ids = [ChatFormat(tokenizer).end_id, tokenizer.eos_token_id, *known]
    return list(dict.fromkeys(int(i) for i in ids if i is not None))
