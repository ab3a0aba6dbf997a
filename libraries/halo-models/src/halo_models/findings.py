"""Mistakes found by trying later work ahead of time, each with its option."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from halo_core.errors import PluginError, UserError
from halo_core.stage import ModelInput

OPTIONS = ("device", "template", "max_length", "lora.targets", "lora.train_tokens", "loss")
"""Options that an error itself may name as its place."""


class Findings:
    """Collects mistakes.

    Attributes:
        pairs: Pairs of option and message, as `halo_core.stage.Stage.check_inputs` returns them.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    @contextmanager
    def at(self, option: str, *, of: ModelInput | None = None) -> Iterator[None]:
        """Collects the mistake that is raised inside, including errors of libraries.

        Args:
            option: The option at fault, unless the error names one of `OPTIONS`.
            of: The model at fault. A sketch is not in a folder that the user knows.
        """
        try:
            # Libraries repeat their warnings when the real work is done.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except PluginError:
            raise
        except UserError as error:
            place = error.location
            if place in OPTIONS:
                self.pairs.append((str(place), error.message))
            elif place is None or (of is not None and of.digest == "" and place == of.path):
                self.pairs.append((option, error.message))
            else:
                self.pairs.append((option, f"{place}: {error.message}"))
        except Exception as error:
            said = " ".join(str(error).split())
            self.pairs.append((option, f"cannot be used: {type(error).__name__}: {said}"))
