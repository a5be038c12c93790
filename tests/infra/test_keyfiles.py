"""Key files: made once, whoever comes first, and what cannot be used is said at the start."""

import threading
from pathlib import Path

import msgspec
import pytest

from bursar.infra import keyfiles
from bursar.settings import SettingsError

KEY = "A" * 43 + "="


class TestTokenKey:
    def test_is_the_one_of_its_key_set_though_many_make_it_at_once(self, tmp_path: Path) -> None:
        for number in range(20):
            keys, barrier = tmp_path / str(number), threading.Barrier(6)

            def make(keys: Path = keys, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                keyfiles.token_key(keys)

            threads = [threading.Thread(target=make) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            (shown,) = msgspec.json.decode((keys / keyfiles.TOKEN_KEY_SET).read_bytes())["keys"]
            assert shown["kid"] == keyfiles.token_key(keys).kid
            assert {path.name for path in keys.iterdir()} == {keyfiles.TOKEN_KEY, keyfiles.TOKEN_KEY_SET}
            assert all(path.stat().st_mode & 0o077 == 0 for path in keys.iterdir())

    def test_shows_itself_after_a_crash_between_its_files(self, tmp_path: Path) -> None:
        key = keyfiles.token_key(tmp_path)
        (tmp_path / keyfiles.TOKEN_KEY_SET).unlink()
        assert keyfiles.token_key(tmp_path).kid == key.kid
        assert (tmp_path / keyfiles.TOKEN_KEY_SET).exists()


class TestKeyEncryptionKeys:
    @pytest.mark.parametrize(
        "document, reason",
        [
            (b"", "truncated"),
            (b'{"current": 2, "keys": {"1": "%s"}}' % KEY.encode(), "version 2"),
            (b'{"current": 1, "keys": {"1": "c2hvcnQ="}}', "version 1 has not 32 bytes"),
            (b'{"current": 1, "keys": {"1": "not base64!"}}', "cannot be used"),
        ],
    )
    def test_that_cannot_be_used_are_told_of_at_the_start(self, tmp_path: Path, document: bytes, reason: str) -> None:
        path = tmp_path / keyfiles.KEY_ENCRYPTION_KEYS
        path.write_bytes(document)
        with pytest.raises(SettingsError, match=reason):
            keyfiles.key_encryption_keys(path)
