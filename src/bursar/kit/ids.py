"""Identifiers: UUIDv7 for machines, short checked numbers for people."""

import random
from datetime import UTC, datetime
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRTVWXYZ"
"""29 characters that are not mistaken for one another when read out or typed (no 0 O 1 I L S U)."""

FIRST: Final = "00000000-0000-0000-0000-000000000000"
LAST: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""Below and above every id that `new` makes."""

_BASE: Final = len(ALPHABET)
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_EPOCH_SECONDS: Final = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
_TIME_LENGTH: Final = 7
_RANDOM_LENGTH: Final = 6
_bits = random.SystemRandom().getrandbits
_random = random.Random(_bits(128))  # noqa: S311  ids are no secrets


class _Last:
    """The millisecond of the newest id of this process, and how many were made within it."""

    millisecond = 0
    count = 0


def new(now: datetime) -> str:
    """Make a UUIDv7 as text: 48 bits of milliseconds, a 12-bit counter within one, 62 random bits (RFC 9562, 6.2).

    Ids made by one process in one millisecond sort in the order in which they were made.
    """
    millisecond = int(now.timestamp() * 1000)
    if millisecond == _Last.millisecond:
        _Last.count = (_Last.count + 1) & 0xFFF
    else:
        _Last.millisecond, _Last.count = millisecond, 0
    tail = f"{0x8000_0000_0000_0000 | _random.getrandbits(62):x}"
    return f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{_Last.count:03x}-{tail[:4]}-{tail[4:]}"


def lowest(moment: datetime) -> str:
    """The lowest id that can be made in the millisecond of `moment`: where a range of time begins in a range of ids."""
    text = f"{max(0, int(moment.timestamp() * 1000)):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical lower-case form."""
    if len(text) != 36 or text[8] != "-" or text[13] != "-" or text[18] != "-" or text[23] != "-":
        return False
    return all(character in "0123456789abcdef" for character in text.replace("-", "")) and text.count("-") == 4


def number(prefix: str, now: datetime) -> str:
    """Make a number for people, such as PAY-4K7TQ2M9XWEA3C.

    Seven characters of time (sixteenths of a second since 2025, so that neighbours lie together in an index), six
    random ones, one check character. Two numbers of the same sixteenth meet once in 594 million; the unique index has
    the last word.
    """
    ticks = int((now.timestamp() - _EPOCH_SECONDS) * 16)
    body = _encode(ticks, _TIME_LENGTH) + _encode(_random.randrange(_BASE**_RANDOM_LENGTH), _RANDOM_LENGTH)
    return f"{prefix}-{body}{_check_character(body)}"


def is_number(prefix: str, text: str) -> bool:
    """Whether `text` is a whole number of this prefix: any one wrong character and any swap of neighbours shows."""
    head, _, body = text.partition("-")
    if head != prefix or len(body) != _TIME_LENGTH + _RANDOM_LENGTH + 1 or not set(body) <= set(ALPHABET):
        return False
    return body[-1] == _check_character(body[:-1])


def _encode(value: int, length: int) -> str:
    text = ""
    for _ in range(length):
        value, digit = divmod(value, _BASE)
        text = ALPHABET[digit] + text
    return text


def _check_character(body: str) -> str:
    """Weighted sum modulo the prime 29, weights 2, 3, 4 …: finds every single error and every transposition."""
    total = 0
    for weight, character in enumerate(body, 2):
        total += weight * _VALUES[character]
    return ALPHABET[total % _BASE]
