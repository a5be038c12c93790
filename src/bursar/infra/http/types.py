"""The shapes that requests of every domain share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from bursar.kit import cardnumber, money, paging
from bursar.kit.errors import Fault, Invalid


def _no_card_number(text: str) -> str:
    if len(text) >= cardnumber.LENGTH_MIN and cardnumber.contains_card_number(text):
        raise ValueError("a card number may stand in card.number alone")
    return text


NoCardNumber = AfterValidator(_no_card_number)
"""What is kept in clear holds no card number, wherever a caller puts one."""

ForeignId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$"), NoCardNumber]
"""An id that belongs to another service."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]*$"), NoCardNumber]
"""Free text. PostgreSQL stores no NUL."""

Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""

Amount = Annotated[int, Field(strict=True, ge=1, le=money.AMOUNT_MAX, description="minor units", examples=[1999])]

ResourceId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="UUIDv7")]


def _known_currency(code: str) -> str:
    if not money.is_currency(code):
        raise ValueError("no currency of ISO 4217 in upper case")
    return code


Currency = Annotated[
    str, AfterValidator(_known_currency), Field(examples=["EUR"], json_schema_extra={"pattern": "^[A-Z]{3}$"})
]

MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00]*$"), NoCardNumber]
MetadataValue = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$"), NoCardNumber]
METADATA_KEYS_MAX = 50
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=METADATA_KEYS_MAX)]
MetadataChange = Annotated[dict[MetadataKey, MetadataValue | None], Field(max_length=METADATA_KEYS_MAX)]
"""Put over what there is, key by key; a null takes its key away."""


def with_metadata(before: dict[str, str], change: dict[str, str | None] | None) -> dict[str, str]:
    """Metadata after a change; a null for all of it takes all away. Raises Invalid."""
    merged = {**before, **change} if change is not None else {}
    after = {key: value for key, value in merged.items() if value is not None}
    if len(after) > METADATA_KEYS_MAX:
        message = f"at most {METADATA_KEYS_MAX} keys"
        raise Invalid(message, errors=(Fault("metadata", "too_long", message),))
    return after


class RequestModel(BaseModel):
    """A request's body: camelCase names, unknown fields refused, no value coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel, frozen=True)


class Address(RequestModel):
    """Kept encrypted under the customer's own key."""

    name: Text | None = None
    line1: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    state: Text | None = None
    postal_code: Text | None = None
    country: Country | None = None
    email: Text | None = None
    phone: Text | None = None


class ResponseModel(BaseModel):
    """What an answer looks like; for the OpenAPI document alone."""

    model_config = ConfigDict(alias_generator=to_camel)


def _in_this_age(moment: datetime) -> datetime:
    if not YEAR_MIN < moment.year < YEAR_MAX:
        raise ValueError(f"the year has to be between {YEAR_MIN} and {YEAR_MAX}")
    return moment


YEAR_MIN, YEAR_MAX = 1970, 9999
Moment = Annotated[AwareDatetime, AfterValidator(_in_this_age)]
"""A time that can be moved by a day, and to UTC, without leaving what can be represented."""


class PageQuery(BaseModel):
    """Which part of a list: newest first."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    limit: Annotated[int, Field(ge=1, le=paging.LIMIT_MAX)] = paging.LIMIT_DEFAULT
    cursor: Annotated[str | None, Field(max_length=100)] = None
    created_from: Moment | None = None
    created_to: Moment | None = None


Paging = Annotated[PageQuery, Query()]


def listing(rows: Sequence[Any], next_cursor: str | None) -> dict[str, Any]:
    """The envelope of every list."""
    return {"data": rows, "hasMore": next_cursor is not None, "nextCursor": next_cursor}


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str = Field(alias="requestId")
    errors: list[dict[str, str]] | None = None
