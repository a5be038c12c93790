"""JWE from strangers: whatever comes, it is opened or it is Unopened."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import ECKey

from bursar.infra import entrykeys
from bursar.infra.entrykeys import JWE_LENGTH_MAX, EntryKeys, Unopened

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAINTEXT = b'{"number": "4242424242424242"}'


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys") / "entry.jwks"


@pytest.fixture(scope="module")
def keys(path: Path) -> EntryKeys:
    return EntryKeys(path, NOW)


def part(content: Any) -> str:
    """A part of a JWE: bytes, or JSON, in base64url without padding."""
    raw = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def encrypted(keys: EntryKeys, **header: Any) -> str:
    public = keys.public()
    protected = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": public["kid"], **header}
    return jwe.encrypt_compact(protected, PLAINTEXT, ECKey.import_key(public), algorithms=entrykeys.ALGORITHMS)


def opened(keys: EntryKeys, text: str) -> bytes | None:
    """What it holds; None where it is Unopened. Anything else that is raised is a fault."""
    try:
        return keys.open(text)
    except Unopened:
        return None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
header_values = json_values | st.sampled_from(
    ["ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128KW", "A256GCM", "dir", "RSA-OAEP", "PBES2-HS256+A128KW", "none", "DEF"]
)
coordinates = st.binary(max_size=40).map(part) | json_values
ephemeral = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["EC", "OKP", "oct", "RSA", ""]) | json_values,
        "crv": st.sampled_from(["P-256", "P-384", "P-521", "X25519", "secp256k1"]) | json_values,
        "x": coordinates,
        "y": coordinates,
        "d": coordinates,
        "k": coordinates,
    },
)


class TestOpen:
    def test_gives_what_was_encrypted(self, keys: EntryKeys) -> None:
        for alg in ("ECDH-ES", "ECDH-ES+A256KW"):
            assert keys.open(encrypted(keys, alg=alg)) == PLAINTEXT

    @given(st.text(max_size=200))
    @example("....")
    @example("\ud800.a.b.c.d")
    @example("é.a.b.c.d")
    def test_of_any_text_is_unopened(self, keys: EntryKeys, text: str) -> None:
        assert opened(keys, text) is None

    @given(st.lists(st.binary(max_size=60).map(part), min_size=5, max_size=5))
    def test_of_any_parts_is_unopened(self, keys: EntryKeys, parts: list[str]) -> None:
        assert opened(keys, ".".join(parts)) is None

    @settings(max_examples=400)
    @given(
        st.dictionaries(
            st.sampled_from(["alg", "enc", "zip", "crit", "apu", "apv", "cty", "p2c", "p2s", "b64"]), header_values
        ),
        ephemeral | json_values,
        st.booleans(),
        st.lists(st.binary(max_size=60).map(part), min_size=4, max_size=4),
    )
    def test_of_any_header_is_unopened(
        self, keys: EntryKeys, header: dict[str, Any], epk: Any, is_good: bool, rest: list[str]
    ) -> None:
        good = {"alg": "ECDH-ES", "enc": "A256GCM"} if is_good else {}
        whole = {**good, "kid": keys.public()["kid"], "epk": epk, **header}
        assert opened(keys, ".".join([part(whole), *rest])) is None

    @settings(max_examples=300)
    @given(st.sampled_from(["ECDH-ES", "ECDH-ES+A256KW"]), st.data())
    def test_of_anything_changed_is_unopened(self, keys: EntryKeys, alg: str, data: st.DataObject) -> None:
        parts = [
            bytearray(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in encrypted(keys, alg=alg).split(".")
        ]
        chosen = data.draw(st.sampled_from([place for place, content in enumerate(parts) if content]))
        place = data.draw(st.integers(0, len(parts[chosen]) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                parts[chosen][place] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del parts[chosen][place:]
            case _:
                parts[chosen].insert(place, data.draw(st.integers(0, 255)))
        assert opened(keys, ".".join(part(bytes(content)) for content in parts)) is None

    @given(json_values)
    def test_of_any_kid_is_unopened(self, keys: EntryKeys, kid: Any) -> None:
        header, *rest = encrypted(keys).split(".")
        whole = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        assert opened(keys, ".".join([part({**whole, "kid": kid}), *rest])) is None

    @pytest.mark.parametrize("size", [760, 2_900])  # a header has 1,024 characters at the most
    @pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"epk":['])
    def test_of_what_is_nested_deep_is_unopened(self, keys: EntryKeys, opening: bytes, size: int) -> None:
        depth = size // len(opening)
        assert opened(keys, part(opening * depth) + ".a.b.c.d") is None
        closing = {b"[": b"]", b'{"a":': b"}", b'{"epk":[': b"]}"}[opening]
        text = part(opening * (depth // 2) + (b"1" if opening.endswith(b":") else b"") + closing * (depth // 2))
        assert len(text) < JWE_LENGTH_MAX and opened(keys, f"{text}.a.b.c.d") is None

    def test_of_what_is_too_long_is_unopened(self, keys: EntryKeys) -> None:
        assert opened(keys, encrypted(keys) + "A" * JWE_LENGTH_MAX) is None

    def test_of_what_was_compressed_is_unopened(self, keys: EntryKeys) -> None:
        public = keys.public()
        protected = {"alg": "ECDH-ES", "enc": "A256GCM", "kid": public["kid"], "zip": "DEF"}
        algorithms = [*entrykeys.ALGORITHMS, "DEF"]
        text = jwe.encrypt_compact(protected, b"0" * 100_000, ECKey.import_key(public), algorithms=algorithms)
        assert len(text) < JWE_LENGTH_MAX and opened(keys, text) is None


class TestRenew:
    def test_keeps_what_was_superseded_within_the_overlap(self, tmp_path: Path) -> None:
        path, overlap = tmp_path / "entry.jwks", timedelta(hours=48)
        keys = EntryKeys(path, NOW)
        made = [encrypted(keys)]
        for hours in (0, 24, 48, 72):
            entrykeys.renew(path, NOW + timedelta(hours=hours), overlap=overlap)
            made.append(encrypted(keys))
        # the one before the newest always opens; older ones while they were superseded less than 48 hours ago
        assert [opened(keys, text) is not None for text in made] == [False, False, True, True, True]
        with pytest.raises(Unopened) as refused:
            keys.open(made[0])
        assert refused.value.is_key_unknown

    def test_leaves_a_key_to_encrypt_for_when_it_is_done_often(self, tmp_path: Path) -> None:
        path = tmp_path / "entry.jwks"
        keys = EntryKeys(path, NOW)
        for number in range(5):
            text = encrypted(keys)
            kid = entrykeys.renew(path, NOW + timedelta(seconds=number), overlap=timedelta(0))
            assert opened(keys, text) == PLAINTEXT and keys.public()["kid"] == kid
        assert len(msgspec.json.decode(path.read_bytes())) == 2
        assert path.stat().st_mode & 0o077 == 0

    def test_gives_out_no_private_part(self, keys: EntryKeys, path: Path) -> None:
        assert "d" not in keys.public()
        assert all(set(entry["key"]) >= {"d", "kid"} for entry in msgspec.json.decode(path.read_bytes()))
