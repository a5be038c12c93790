"""The Merkle root: any change of any leaf, or of their order, changes it."""

import hashlib

from hypothesis import assume, given
from hypothesis import strategies as st

from bursar.infra.seal import GENESIS, merkle_root

leaf = st.binary(min_size=32, max_size=32)
leaves = st.lists(leaf, min_size=1, max_size=70)


class TestMerkleRoot:
    def test_of_nothing_is_the_genesis(self) -> None:
        assert merkle_root([]) == GENESIS

    def test_by_example(self) -> None:
        one, two, three = (hashlib.sha256(text).digest() for text in (b"1", b"2", b"3"))
        pair = hashlib.sha256(b"\x01" + one + two).digest()
        assert merkle_root([one]) == one.hex()
        assert merkle_root([one, two]) == pair.hex()
        assert merkle_root([one, two, three]) == hashlib.sha256(b"\x01" + pair + three).hexdigest()

    @given(leaves)
    def test_leaves_its_leaves_alone(self, level: list[bytes]) -> None:
        before = list(level)
        assert merkle_root(level) == merkle_root(level)
        assert level == before

    @given(leaves, st.data())
    def test_shows_a_changed_leaf(self, level: list[bytes], data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(level) - 1))
        other = data.draw(leaf)
        assume(other != level[place])
        assert merkle_root([*level[:place], other, *level[place + 1 :]]) != merkle_root(level)

    @given(st.lists(leaf, max_size=68), st.lists(leaf, min_size=2, max_size=2, unique=True), st.data())
    def test_shows_two_leaves_exchanged(self, others: list[bytes], pair: list[bytes], data: st.DataObject) -> None:
        one = data.draw(st.integers(0, len(others)))
        two = data.draw(st.integers(one, len(others)))
        before, between, behind = others[:one], others[one:two], others[two:]
        level = [*before, pair[0], *between, pair[1], *behind]
        assert merkle_root([*before, pair[1], *between, pair[0], *behind]) != merkle_root(level)

    @given(leaves, leaf)
    def test_shows_an_added_leaf(self, level: list[bytes], added: bytes) -> None:
        assert merkle_root([*level, added]) != merkle_root(level)
