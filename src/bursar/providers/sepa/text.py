"""Texts and identifiers as every bank in SEPA has to take them.

Source: EPC217-08, the Latin character set of SEPA: a–z A–Z 0–9 / - ? : ( ) . , ' + and the space; an identifier neither
begins nor ends with a slash, and has no two of them in a row.
"""

import re
from typing import Final

from text_unidecode import unidecode  # type: ignore[import-untyped]

from bursar.kit import ids

IDENTIFIER_LENGTH_MAX: Final = 35

_REPLACED: Final = str.maketrans({"&": "+", "_": "-", "\t": " ", "\n": " ", "\r": " "})
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_IDENTIFIER: Final = re.compile(r"(?!/)(?!.*//)[A-Za-z0-9/\-?:().,'+]([A-Za-z0-9/\-?:().,'+ ]*[A-Za-z0-9\-?:().,'+])?")


def reduced(text: str, *, length_max: int) -> str:
    """`text` in SEPA's character set: other letters written in Latin ones, what is left over as a dot, spaces single.

    Empty where nothing of it can be written: of dots alone nobody could tell what was meant.
    """
    latin = _FOREIGN.sub(".", unidecode(text).translate(_REPLACED))
    short = " ".join(latin.split())[:length_max].strip()
    return short if re.search(r"[A-Za-z0-9]", short) else ""


def is_identifier(text: str) -> bool:
    """Whether `text` can stand as a message id or an end-to-end id."""
    return len(text) <= IDENTIFIER_LENGTH_MAX and _IDENTIFIER.fullmatch(text) is not None


def end_to_end_id(key: str) -> str:
    """Our key as an end-to-end id: a UUID without its dashes (it has 36 characters, an end-to-end id 35)."""
    return key.replace("-", "") if ids.is_uuid(key) else key


def key_of(identifier: str) -> str:
    """The key that `end_to_end_id` made an identifier of."""
    if re.fullmatch(r"[0-9a-f]{32}", identifier):
        return f"{identifier[:8]}-{identifier[8:12]}-{identifier[12:16]}-{identifier[16:20]}-{identifier[20:]}"
    return identifier
