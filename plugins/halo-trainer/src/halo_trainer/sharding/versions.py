"""Whether the installed torch and transformers can spread weights over processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec

from halo_core.errors import UserError


@dataclass(frozen=True)
class Part:
    """A part of a package that sharding cannot do without.

    Attributes:
        package: Name of the package.
        since: First release that has it.
        name: The part, for the message.
        there: Returns whether the installed package has it. The number of a preview or of an own
            build would say too little.
    """

    package: str
    since: str
    name: str
    there: Callable[[], bool]


def _reads_shards() -> bool:
    name = "transformers.distributed.sharding_utils"
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False  # There is no transformers.distributed.


def _forgets_passes() -> bool:
    from torch.distributed.fsdp import FSDPModule

    return "reset_iter_state" in vars(FSDPModule)


PARTS = (
    Part("torch", "2.13", "FSDPModule.reset_iter_state", _forgets_passes),
    Part("transformers", "5.14", "distributed.sharding_utils", _reads_shards),
)
"""`halo_models.load_shards` and `sharding.shard.forget_passes` need these."""


def check_versions() -> None:
    """Checks that weights can be spread over processes with the installed packages.

    Raises:
        UserError: When a part is missing. The message has the installed and the needed versions.
    """
    missing = [part for part in PARTS if not part.there()]
    if not missing:
        return
    needed = [f"{part.package}>={part.since}" for part in missing]
    lacks = [f"{part.package} {version(part.package)} lacks {part.name}" for part in missing]
    install = " ".join(f"'{text}'" for text in needed)
    raise UserError(
        f"weights cannot be spread over processes, because {' and '.join(lacks)}; expected "
        f"{' and '.join(needed)}: run pip install -U {install}, or set sharding: none"
    )
