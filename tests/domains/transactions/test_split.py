"""Captures in parts: nothing is lost, nothing is made, and together they are the splits."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bursar.domains.transactions.split import captured_parts


class TestCapturedParts:
    @pytest.mark.parametrize(
        "amount, splits, allocated, parts",
        [
            (100, [34, 33, 33], [0, 0, 0], [34, 33, 33]),
            (1, [34, 33, 33], [0, 0, 0], [1, 0, 0]),
            (10, [34, 33, 33], [1, 0, 0], [4, 3, 3]),
            (2, [1, 1, 1], [1, 0, 0], [0, 1, 1]),
            (5, [10, 90], [10, 0], [0, 5]),
        ],
    )
    def test_table(self, amount: int, splits: list[int], allocated: list[int], parts: list[int]) -> None:
        assert captured_parts(amount, splits, allocated) == parts

    @given(data=st.data(), splits=st.lists(st.integers(1, 40) | st.integers(1, 10**12), min_size=1, max_size=8))
    def test_captures_of_all_give_each_split_its_amount(self, data: st.DataObject, splits: list[int]) -> None:
        allocated, left = [0] * len(splits), sum(splits)
        while left:
            amount = data.draw(st.integers(1, left) | st.integers(1, min(left, 3)))
            if len(splits) * left > 200 * amount:
                amount = left
            parts = captured_parts(amount, splits, allocated)
            assert sum(parts) == amount and min(parts) >= 0
            allocated = [before + part for before, part in zip(allocated, parts, strict=True)]
            left -= amount
            assert all(got <= split for got, split in zip(allocated, splits, strict=True))
        assert allocated == splits

    def test_more_than_the_splits_is_no_capture(self) -> None:
        with pytest.raises(AssertionError, match="never exceed"):
            captured_parts(3, [1, 1], [0, 0])
