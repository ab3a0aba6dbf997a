"""The table of paid replies: its columns, and the check values of its rows."""

from __future__ import annotations

import json
import sqlite3

from halo_core.workspace.databases import CHECK_COLUMN, row_check

TABLE = """
CREATE TABLE replies (
    key TEXT NOT NULL,        -- of the request that began it, see request_key
    attempt INTEGER NOT NULL, -- a number from 0 on; below 0 for a reply that cannot be used
    request TEXT NOT NULL,    -- JSON
    reply TEXT NOT NULL,      -- JSON
    cost REAL,                -- dollars, NULL when the price is not known
    account TEXT NOT NULL,    -- who paid
    time REAL NOT NULL,       -- Unix seconds
    crc TEXT,                 -- check value of the columns before it, see row_check
    PRIMARY KEY (key, attempt)
) WITHOUT ROWID
"""
COLUMNS = ["key", "attempt", "request", "reply", "cost", "account", "time", CHECK_COLUMN]
OLDER_COLUMNS = COLUMNS[:-1]
"""Columns of an older halo, which wrote no check values."""

Row = tuple[str, int, str, str, float | None, str, float]
"""A row without its check value."""


def insert(db: sqlite3.Connection, row: Row) -> None:
    """Inserts a row with its check value, unless there is one with its key and attempt."""
    marks = ", ".join("?" * len(COLUMNS))
    db.execute(
        f"INSERT OR IGNORE INTO replies ({', '.join(COLUMNS)}) VALUES ({marks})",
        (*row, row_check(row)),
    )


def is_reply(values: Row) -> bool:
    """Returns whether request and reply of a row are JSON objects."""
    try:
        request, reply = json.loads(values[2]), json.loads(values[3])
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(request, dict) and isinstance(reply, dict)
