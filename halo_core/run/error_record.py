"""Errors as JSON, to pass them from one process to another."""

from __future__ import annotations

from halo_core import errors
from halo_core.errors import (
    HaloError,
    Interrupted,
    SpecErrors,
    SuiteErrors,
    UserError,
    WorkerError,
    text_of,
)
from halo_core.workspace.records import ErrorRecord


def error_record(error: BaseException) -> ErrorRecord:
    """Returns type, message and location of an error.

    >>> error_record(UserError("no such cell", location="--cell x"))
    {'type': 'UserError', 'message': 'no such cell', 'location': '--cell x'}
    """
    name = type(error).__name__
    if isinstance(error, SpecErrors):
        return {"type": name, "message": str(error), "location": None}
    if isinstance(error, HaloError):
        # The reading process does not know a plugin's own error classes.
        name = next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)
        return {"type": name, "message": error.message, "location": error.location}
    return {"type": name, "message": text_of(error), "location": None}


def error_of(record: ErrorRecord, exit_code: int) -> HaloError:
    """Returns the error of a record, in its original class if that is one of halo's.

    Args:
        record: A record from `error_record`.
        exit_code: Exit code of the process that the error ended.
    """
    name, message, location = record["type"] or "", record["message"] or "", record["location"]
    error_class = getattr(errors, name, None)
    if not (isinstance(error_class, type) and issubclass(error_class, HaloError)):
        return WorkerError(f"{name}: {message}", location=location)
    if issubclass(error_class, Interrupted):
        return Interrupted(message, signal_number=exit_code - 128)
    if issubclass(error_class, SpecErrors | SuiteErrors):
        return UserError(message, location=location)
    error: HaloError = error_class(message, location=location)
    return error
