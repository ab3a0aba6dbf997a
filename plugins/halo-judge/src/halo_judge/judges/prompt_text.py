"""A prompt as one text, for judges that are not shown messages."""

from __future__ import annotations

from halo_core.feedback import Prompt


def prompt_text(prompt: Prompt) -> str:
    """Returns a prompt as text; the roles are named when there is more than one message.

    >>> prompt_text([{"role": "user", "content": "Hi."}])
    'Hi.'
    """
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in prompt)
