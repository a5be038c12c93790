"""One request under way, as routes see it."""

import re
from typing import Any, Final

from fastapi import Request

from bursar.infra.auth import Caller
from bursar.infra.db import Origin
from bursar.infra.idempotency import Claim, digest_of
from bursar.kit.cardnumber import contains_card_number
from bursar.kit.errors import BadRequest, Fault, Forbidden, Invalid, NotFound, StaleVersion

KEY_LENGTH_MAX: Final = 255
_PRINTABLE: Final = re.compile(rb"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class Call(Request):
    """A request whose caller is known. `bursar`: the composed App; `body_bytes`: the body as it came."""

    def __init__(
        self, scope: Any, *, bursar: Any, caller: Caller, request_id: str, headers: dict[bytes, bytes], body: bytes
    ) -> None:
        self.scope = scope
        self.bursar = bursar
        self.caller = caller
        self.request_id = request_id
        self.raw = headers
        self.body_bytes = body

    @property
    def has_token(self) -> bool:
        """Whether somebody calls; nobody does where a public route was asked without a token."""
        return bool(self.caller.subject)

    def allow(self, roles: frozenset[str]) -> None:
        """Raise Forbidden unless the caller has one of `roles`."""
        self.caller.allow(roles)

    def origin(self) -> Origin:
        """Who asks, for events and audit."""
        return Origin(self.caller.subject, self.request_id, self.scope["path"])

    def claim(self) -> Claim | None:
        """The caller's idempotency key for just this request. Raises BadRequest where the header is not 1–255
        printable characters.
        """
        raw = self.raw.get(b"idempotency-key")
        if raw is None:
            return None
        if len(raw) > KEY_LENGTH_MAX or not _PRINTABLE.fullmatch(raw):
            raise BadRequest(f"Idempotency-Key has 1–{KEY_LENGTH_MAX} printable ASCII characters")
        if contains_card_number(raw.decode()):
            raise BadRequest("Idempotency-Key holds a card number")
        asked = self.scope["path"]
        if query := self.scope["query_string"]:
            asked += "?" + query.decode("latin-1")
        digest = digest_of(self.scope["method"], asked, self.body_bytes, key=self.bursar.digest_key)
        return Claim(self.caller.subject, raw.decode(), digest)

    @property
    def wants_asynchronous(self) -> bool:
        """Whether the caller prefers 202 at once."""
        return b"respond-async" in self.raw.get(b"prefer", b"").lower()

    def expected_version(self) -> int | None:
        """The version in If-Match; None where there is none, or it is `*`. Raises StaleVersion for an ETag that no
        version has.
        """
        raw = self.raw.get(b"if-match")
        if raw is None or raw.strip() == b"*":
            return None
        match = re.fullmatch(rb'"(\d{1,9})"', raw.strip())
        if match is None:
            raise StaleVersion("If-Match takes one strong ETag")
        return int(match.group(1))

    def must_own_customer(self, customer_id: str) -> None:
        """Raise NotFound where the caller is a customer, and another one."""
        if not self.caller.is_staff and self.caller.customer_id != customer_id:
            raise NotFound("no such customer")

    def sees(self, customer_id: str) -> bool:
        """Whether the caller may know of that customer's objects: staff, or the customer itself."""
        return self.caller.is_staff or self.caller.customer_id == customer_id

    def only_customer(self) -> str | None:
        """The customer to whose objects this caller is confined; None for staff. Raises Forbidden."""
        if self.caller.is_staff:
            return None
        if self.caller.customer_id is None:
            raise Forbidden("the token names no customer")
        return self.caller.customer_id


def require(is_valid: bool, field: str, code: str, message: str) -> None:
    """Raise Invalid (422) with one fault unless `is_valid`."""
    if not is_valid:
        raise Invalid(message, errors=(Fault(field, code, message),))
