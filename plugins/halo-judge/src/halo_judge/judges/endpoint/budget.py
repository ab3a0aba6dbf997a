"""A limit on spending. Money is reserved before each request, so the limit is never exceeded."""

from __future__ import annotations

import threading


class CapReached(Exception):
    """Raised when the next request might exceed the limit."""


class Budget:
    """The limit on spending, and the amount spent.

    Args:
        cap: Limit in dollars; None for no limit.
        spent: Dollars that are already spent.
    """

    def __init__(self, cap: float | None, spent: float = 0.0) -> None:
        self._cap = cap
        self._spent = spent
        self._aside = 0.0
        self._under_way = 0
        self._changed = threading.Condition()

    @property
    def spent(self) -> float:
        """Dollars spent so far."""
        return self._spent

    @property
    def cap(self) -> float | None:
        """Limit in dollars; None for no limit."""
        return self._cap

    def set_aside(self, most: float) -> None:
        """Reserves the maximum cost of a request, and waits for other requests if needed.

        Raises:
            CapReached: When no other request is in progress and the cost does not fit.
        """
        with self._changed:
            while self._cap is not None and self._spent + self._aside + most > self._cap:
                if not self._under_way:
                    raise CapReached
                self._changed.wait()
            self._aside += most
            self._under_way += 1

    def settle(self, most: float, cost: float) -> None:
        """Releases the reserved cost of a request, and counts its actual cost."""
        with self._changed:
            self._under_way -= 1
            # A rounding error must not stay, because it could block the last cent.
            self._aside = self._aside - most if self._under_way else 0.0
            self._spent += cost
            self._changed.notify_all()
