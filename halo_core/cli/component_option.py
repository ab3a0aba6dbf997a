"""A component given on the command line, in the shape that it has in a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import SpecErrors, UserError

if TYPE_CHECKING:
    from halo_core.spec.components import Resolved


def component_given(
    kind: str, text: str, *, option: str, overrides: Sequence[str] = ()
) -> Resolved:
    """Returns the component that ``NAME`` or ``{use: NAME, ...options}`` describes.

    Relative paths among its options are relative to the current folder.

    Args:
        kind: The kind wanted, such as ``judge``.
        text: A name, or a mapping in YAML.
        option: The option that it was given to, such as ``--judge``, for messages.
        overrides: ``PATH=VALUE`` texts that go before what `text` says, each with a path below
            the option's name without dashes: ``judge.model=gpt-4o``.

    Raises:
        SpecErrors: With every mistake, when it is no such component.
        UserError: When `text` is no YAML, or an override leads elsewhere.

    >>> component_given("judge", "longest", option="--judge").name
    'longest'
    """
    from halo_core.cli.spec_options import parse_overrides
    from halo_core.discovery import discover
    from halo_core.spec.components import Resolver
    from halo_core.spec.document import Document, apply_overrides, parse_value
    from halo_core.spec.mistakes import Mistakes

    slot = option.lstrip("-")
    try:
        document = Document(option, Path.cwd(), {slot: parse_value(text)})
    except UserError as error:
        raise UserError(error.message, location=f"{option} {text}") from None
    given = document.tree[slot]
    if isinstance(given, dict):
        document.places.update({(slot, name): option for name in given})
    parsed = parse_overrides(overrides)
    for path in parsed:
        if path.partition(".")[0] != slot:
            raise UserError(
                f"expected a path below {slot}, as in {slot}.OPTION=VALUE",
                location=f"--set {path}={parsed[path]}",
            )
    apply_overrides(document, parsed)
    mistakes = Mistakes(document)
    found = Resolver(discover(), mistakes).resolve(kind, document.tree[slot], (slot,))
    mistakes.raise_if_any(option)
    if found is None:
        raise SpecErrors([])
    return found
