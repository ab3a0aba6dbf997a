"""Every error that halo raises on purpose, one class per cause.

    HaloError                     exit 1
    ├── UserError                 exit 2   a mistake in the user's input
    │   ├── SpecErrors            exit 2   all mistakes of one spec, together; 3 if all are plugins'
    │   ├── PathError             exit 2   a file or folder that is missing or not as expected
    │   ├── BusyError             exit 2   another process is working on the same run
    │   ├── DataError             exit 2   rows or records that are invalid
    │   │   └── VersionError      exit 2   a record from a newer halo
    │   └── ModelError            exit 2   a model or tokenizer that cannot be used
    ├── PluginError               exit 3   a plugin raised, or broke its interface
    ├── UnscoredError             exit 1   a judge that scored nothing
    ├── NotFiniteError            exit 1   a loss or gradient that is not a number
    ├── WorkerError               exit 1   a process that failed or ended without a message
    ├── DiskError                 exit 1   too little room on the disk
    ├── UploadError               exit 1   an upload that failed
    ├── InstallError              exit 1   a distribution that pip could not find or install
    ├── SuiteErrors               exit 1-3 the largest exit code of all failed cells
    └── Interrupted               exit 130 (Ctrl-C) or 143 (SIGTERM, SIGHUP)

A message says, in this order: where, what came, what was expected, what to do. For an unknown name,
`did_you_mean` adds a suggestion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from halo_core.printing import shortened

LONGEST_MESSAGE = 1500
"""Number of characters of a message that are shown."""
LONGEST_NAME = 300
"""Number of characters up to which a name can be similar to another. A spec may have a text of a
million characters in place of a name, and comparing it would take seconds."""


class HaloWarning(UserWarning):
    """A message for the user that does not stop the run."""


class HaloDeprecationWarning(DeprecationWarning):
    """The use of a public name that a later version removes. It names the replacement.

    Python shows it in tests, and not to users of a plugin.
    """


class HaloError(Exception):
    """Base of all errors of halo.

    Args:
        message: A text that says what went wrong, what was expected and what to do.
        location: The place, for example ``spec.yaml:12:9: stages.kto.loss`` or a file.
    """

    exit_code = 1
    message = ""
    location: str | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Checks the exit code of an error class of a plugin.

        Raises:
            TypeError: When it is not 1, 2 or 3. With 0, a failure would look like a success.
        """
        super().__init_subclass__(**kwargs)
        cls.message = f"({cls.__qualname__} has no message: it does not call HaloError.__init__)"
        code = cls.__dict__.get("exit_code", 1)
        if isinstance(code, bool) or code not in (1, 2, 3):
            raise TypeError(
                f"{cls.__name__}.exit_code is {code!r}; expected 1, 2 (the user's mistake) or 3 (a "
                "plugin's), as the table in halo_core.errors says"
            )

    def __init__(self, message: str, *, location: str | None = None) -> None:
        # A message may contain a value of a spec or a row, of any length.
        message = shortened(message, LONGEST_MESSAGE)
        super().__init__(message)
        self.message = message
        self.location = location

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


def renewed(error: HaloError, message: str, location: str | None) -> HaloError:
    """Returns a copy of an error with another message and place.

    The class may be one of a plugin, whose constructor takes other arguments.
    """
    copy = type(error).__new__(type(error), message)
    copy.__dict__.update(error.__dict__)
    copy.args = (message,)
    copy.message, copy.location = shortened(message, LONGEST_MESSAGE), location
    return copy


class UserError(HaloError):
    """The user's mistake: a spec, an option, a path or data."""

    exit_code = 2


class SpecErrors(UserError):
    """All mistakes of a spec, reported together.

    Args:
        errors: One error per mistake, in the order of their places in the spec.
        where: The name of what has the mistakes: the spec, or an option of a command.
    """

    def __init__(self, errors: Sequence[HaloError], where: str = "the spec") -> None:
        self.errors = tuple(errors)
        if errors and all(isinstance(error, PluginError) for error in errors):
            self.exit_code = PluginError.exit_code
        count = len(self.errors)
        super().__init__(f"{count} mistake{'s' if count != 1 else ''} in {where}")

    def __str__(self) -> str:
        return "\n".join([*(str(error) for error in self.errors), f"{self.message}."])


class PathError(UserError):
    """A file or folder that does not exist or is not what was expected."""


class BusyError(UserError):
    """Another process is working on the same run."""


class DataError(UserError):
    """Rows that do not match their kind of feedback, or records that cannot be read."""


class VersionError(DataError):
    """A record on disk from a newer halo."""


class ModelError(UserError):
    """A model or tokenizer that cannot be found or used."""


class PluginError(HaloError):
    """A plugin that failed to import, to register or to keep its interface."""

    exit_code = 3


class UnscoredError(HaloError):
    """A judge that scored nothing, for example because its endpoint is down."""


class NotFiniteError(HaloError):
    """A loss or a gradient that is not a number. The weights are unchanged."""


class WorkerError(HaloError):
    """A process, of a stage or of a whole command, that ended without a result."""


class DiskError(HaloError):
    """Too little room on a disk for a file. Nothing was deleted to make room."""


class UploadError(HaloError):
    """An upload that failed. The files on this machine are complete."""


class InstallError(HaloError):
    """A distribution that pip could not find or install."""


class SuiteErrors(HaloError):
    """The errors in the cells of a suite.

    Args:
        errors: The error of each failed cell by its id, in the order of the cells.
        count: Number of cells that were run.
    """

    def __init__(self, errors: Mapping[str, HaloError], count: int) -> None:
        self.errors = tuple(
            renewed(error, f"{cell}: {error.message}", error.location)
            for cell, error in errors.items()
        )
        self.exit_code = max(map(exit_code_of, self.errors))
        super().__init__(f"{len(self.errors)} of {count} cells failed")

    def __str__(self) -> str:
        return "\n".join([*(str(error) for error in self.errors), f"{self.message}."])


class Interrupted(HaloError):
    """The run was asked to stop and saved its state.

    Args:
        message: A text that says what was saved and how to continue.
        signal_number: The signal, 2 (Ctrl-C) or 15 (SIGTERM, or a closed terminal).
    """

    def __init__(self, message: str, *, signal_number: int = 2) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


def exit_code_of(error: BaseException) -> int:
    """Returns the exit code of a process that ends with an error.

    >>> exit_code_of(ZeroDivisionError()), exit_code_of(UserError("x")), exit_code_of(MemoryError())
    (1, 2, 1)
    """
    if isinstance(error, KeyboardInterrupt):
        return 128 + int(getattr(error, "signal_number", 2))
    code = error.exit_code if isinstance(error, HaloError) else 1
    # A plugin may have set another one. With 0, a failure would look like a success.
    return code if isinstance(code, int) and 0 < code < 256 else 1


def error_text(error: BaseException) -> str:
    """Returns the class and the text of an error, as the last line of a traceback has them.

    >>> error_text(KeyError("a")), error_text(MemoryError())
    ("KeyError: 'a'", 'MemoryError')
    """
    name, text = type(error).__name__, text_of(error)
    return f"{name}: {text}" if text else name


def text_of(error: BaseException) -> str:
    """Returns the text of an error, whose class may be one of a plugin and have mistakes too."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # SystemExit too, which would end halo as if everything had succeeded.
        return "(its text cannot be shown)"


def nearest(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Returns the known names that are most similar to a name, the most similar first.

    Args:
        name: The given name.
        known: The names that would be right.
        most: Maximum number of names to return.
        cutoff: Minimum similarity, between 0 (anything) and 1 (equal).
    """
    import difflib  # This import is slow and is needed only when something is wrong.

    if len(name) > LONGEST_NAME:
        return []
    names = [each for each in known if len(each) <= LONGEST_NAME]
    return difflib.get_close_matches(name, names, n=most, cutoff=cutoff)


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Returns a sentence with a suggestion, with a leading space, or "" if no name is similar.

    Args:
        name: The given name.
        known: The names that would be right.
        cutoff: Minimum similarity, between 0 (anything) and 1 (equal).

    >>> did_you_mean("betta", ["beta", "name"])
    " Did you mean 'beta'?"
    >>> did_you_mean("gamma_1", ["beta", "name"])
    ''
    """
    near = nearest(name, known, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""
