"""One job at a time in a thread, so that a training continues while a checkpoint is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Result = TypeVar("Result")


class BackgroundJob(Generic[Result]):
    """A job that runs in a thread. Its error waits until somebody asks for the result.

    The job must not use a process group: two threads of a process would mix up their messages.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="halo-job")
        self._job: Future[Result] | None = None

    def start(self, job: Callable[[], Result]) -> None:
        """Starts a job. The result of the one before must have been taken.

        Raises:
            RuntimeError: When the result of the one before was not taken.
        """
        if self._job is not None:
            raise RuntimeError("the result of the job before was not taken")
        self._job = self._threads.submit(job)

    @property
    def failed(self) -> bool:
        """Whether a job has ended with an error that nobody has seen."""
        return self._job is not None and self._job.done() and self._job.exception() is not None

    def result_if_done(self) -> Result | None:
        """Returns the result of a job that has ended without an error, once; None otherwise."""
        if self._job is None or not self._job.done() or self.failed:
            return None
        return self.result()

    def result(self) -> Result | None:
        """Waits for the job and returns its result, once; None if there is no job.

        Raises:
            Exception: The job's error.
        """
        job, self._job = self._job, None
        return None if job is None else job.result()
