"""Cursors and pages."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit.errors import Invalid
from bursar.kit.ids import is_uuid
from bursar.kit.paging import cursor_of, id_after, page_of


class Row(msgspec.Struct):
    id: str


class TestCursor:
    @given(st.uuids())
    def test_leads_back_to_its_row(self, row_id: Any) -> None:
        assert id_after(cursor_of(str(row_id))) == str(row_id)

    def test_of_nothing_is_nothing(self) -> None:
        assert id_after(None) is None

    @given(st.text(max_size=120))
    def test_of_nonsense_is_refused_or_an_id(self, text: str) -> None:
        with suppress(Invalid):
            assert is_uuid(str(id_after(text)))

    @pytest.mark.parametrize("text", ["", "=", "====", "a", "é", "\x00", cursor_of("x"), cursor_of("1' or '1'='1")])
    def test_of_others_is_refused(self, text: str) -> None:
        with pytest.raises(Invalid) as refused:
            id_after(text)
        assert [fault.field for fault in refused.value.errors] == ["cursor"]


class TestPage:
    @given(st.integers(0, 30), st.integers(1, 10))
    def test_pages_make_the_whole(self, count: int, limit: int) -> None:
        rows = [Row(f"00000000-0000-7000-8000-{number:012}") for number in range(count)]
        seen: list[Row] = []
        cursor, pages = None, 0
        while True:
            after = id_after(cursor)
            start = 0 if after is None else [row.id for row in rows].index(after) + 1
            page = page_of(rows[start : start + limit + 1], limit)
            seen += page.rows
            pages += 1
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == rows
        assert pages == max(1, -(-count // limit))
