"""Card numbers: brand and length by the number ranges, the Luhn check, and finding them where they must not be."""

import re
import unicodedata
from typing import Final, NamedTuple


class Brand(NamedTuple):
    """first and last: prefixes of one length, both included. lengths: of whole numbers. cvc: digits of the code."""

    name: str
    first: int
    last: int
    lengths: frozenset[int]
    cvc: int = 3


_16 = frozenset({16})
_16_TO_19 = frozenset({16, 17, 18, 19})

RANGES: Final[tuple[Brand, ...]] = (
    # the more special before the more general
    Brand("ELO", 401178, 401179, _16),
    Brand("ELO", 438935, 438935, _16),
    Brand("ELO", 451416, 451416, _16),
    Brand("ELO", 457631, 457632, _16),
    Brand("ELO", 504175, 504175, _16),
    Brand("ELO", 506699, 506778, _16),
    Brand("ELO", 509000, 509999, _16),
    Brand("ELO", 636297, 636297, _16),
    Brand("ELO", 650485, 650538, _16),
    Brand("MIR", 2200, 2204, _16_TO_19),
    Brand("AMEX", 34, 34, frozenset({15}), 4),
    Brand("AMEX", 37, 37, frozenset({15}), 4),
    Brand("MASTERCARD", 2221, 2720, _16),
    Brand("MASTERCARD", 51, 55, _16),
    Brand("DINERS", 300, 305, frozenset({14, 16, 17, 18, 19})),
    Brand("DINERS", 3095, 3095, frozenset({14, 16, 17, 18, 19})),
    Brand("DINERS", 36, 36, frozenset({14, 15, 16, 17, 18, 19})),
    Brand("DINERS", 38, 39, frozenset({14, 16, 17, 18, 19})),
    Brand("JCB", 3528, 3589, _16_TO_19),
    Brand("DISCOVER", 6011, 6011, _16_TO_19),
    Brand("DISCOVER", 644, 649, _16_TO_19),
    Brand("DISCOVER", 65, 65, _16_TO_19),
    Brand("UNIONPAY", 62, 62, _16_TO_19),
    Brand("UNIONPAY", 81, 81, _16_TO_19),
    Brand("MAESTRO", 50, 50, frozenset(range(12, 20))),
    Brand("MAESTRO", 56, 58, frozenset(range(12, 20))),
    Brand("MAESTRO", 6304, 6304, frozenset(range(12, 20))),
    Brand("MAESTRO", 6759, 6763, frozenset(range(12, 20))),
    Brand("VISA", 4, 4, frozenset({13, 16, 18, 19})),
)
"""Number ranges by ISO/IEC 7812 issuers. Source: the schemes' published BIN ranges."""

LENGTH_MIN: Final = 13
LENGTH_MAX: Final = 19
_RUN: Final = re.compile(r"[0-9](?:[\s\-./]{0,2}[0-9]){12,}")
_SEPARATORS: Final = re.compile(r"[\s\-./]+")
_UUID: Final = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
_DASHES: Final = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def brand_of(number: str) -> Brand | None:
    """The range that a number's beginning lies in, whatever its length."""
    for brand in RANGES:
        if brand.first <= int(number[: len(str(brand.first))]) <= brand.last:
            return brand
    return None


def has_valid_check_digit(number: str) -> bool:
    """The Luhn check (ISO/IEC 7812-1, annex B)."""
    digits = number.encode()
    total = sum(digits[-1::-2]) - 48 * len(digits[-1::-2])
    total += sum(_DOUBLED[digit - 48] for digit in digits[-2::-2])
    return total % 10 == 0


def is_card_number(number: str) -> bool:
    """Whether digits are what a card may have: range, length and check digit."""
    if not has_valid_check_digit(number):
        return False
    brand = brand_of(number)
    return brand is not None and len(number) in brand.lengths


def contains_card_number(text: str) -> bool:
    """Whether a card number stands in free text, whole or in groups, in the digits of any script. UUIDs are none."""
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(char, char)) for char in text).translate(_DASHES)
    if _RUN.search(text) is None:  # as nearly always; what follows takes five times as long
        return False
    for run in _RUN.finditer(_UUID.sub("x", text)):
        groups = _SEPARATORS.split(run.group())
        for first in range(len(groups)):
            digits = ""
            for group in groups[first:]:
                digits += group
                if len(digits) > LENGTH_MAX:
                    break
                if len(digits) >= LENGTH_MIN and is_card_number(digits):
                    return True
    return False
