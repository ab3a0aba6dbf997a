"""A cap on what is spent: money is set aside before a request, so that the cap is never passed."""

from __future__ import annotations

import threading


class CapReached(Exception):
    """The next request might pass the cap."""


class Budget:
    """What may be spent, and what is.

    Args:
        cap: Dollars; None for no cap.
        spent: Dollars spent before.
    """

    def __init__(self, cap: float | None, spent: float = 0.0) -> None:
        self._cap = cap
        self._spent = spent
        self._aside = 0.0
        self._under_way = 0
        self._changed = threading.Condition()

    @property
    def spent(self) -> float:
        """Dollars that are spent."""
        return self._spent

    @property
    def cap(self) -> float | None:
        """Dollars that may be spent; None for no cap."""
        return self._cap

    def set_aside(self, most: float) -> None:
        """Sets aside what a request may cost at most, waiting for others to cost less than that.

        Raises:
            CapReached: When none is under way and it does not fit.
        """
        with self._changed:
            while self._cap is not None and self._spent + self._aside + most > self._cap:
                if not self._under_way:
                    raise CapReached
                self._changed.wait()
            self._aside += most
            self._under_way += 1

    def settle(self, most: float, cost: float) -> None:
        """Takes back what was set aside for a request and counts what it did cost."""
        with self._changed:
            self._under_way -= 1
            # No rest of rounding may stay: it could keep the last cent from being spent.
            self._aside = self._aside - most if self._under_way else 0.0
            self._spent += cost
            self._changed.notify_all()
