"""Keyset paging: a cursor names the last row seen, so that page 1,000 costs what page 1 costs."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from bursar.kit import ids
from bursar.kit.errors import Fault, Invalid

T = TypeVar("T")

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Rows, newest first, and the cursor of the next page; None where this is the last."""

    rows: Sequence[T]
    next_cursor: str | None


def cursor_of(row_id: str) -> str:
    """The opaque cursor after the row `row_id`."""
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def id_after(cursor: str | None) -> str | None:
    """The row id in a cursor. Raises Invalid where the cursor is none of ours."""
    if cursor is None:
        return None
    try:
        row_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise _unreadable() from error
    if not ids.is_uuid(row_id):
        raise _unreadable()
    return row_id


def page_of(rows: Sequence[T], limit: int) -> Page[T]:
    """Make a page of `limit` rows from up to `limit` + 1 rows that were read; rows have an `id`."""
    if len(rows) <= limit:
        return Page(rows, None)
    last: Any = rows[limit - 1]
    return Page(rows[:limit], cursor_of(last.id))


def _unreadable() -> Invalid:
    return Invalid(
        "The cursor is not one that this service handed out",
        errors=(Fault("cursor", "invalid_cursor", "take nextCursor as it is"),),
    )
