"""What goes in and out of a simulator's handlers: Request, Answer, Route; and Refusal, an answer that is raised."""

from collections.abc import Callable
from typing import Any

import msgspec

from simulators.kit.faults import Kind


class Request(msgspec.Struct):
    """A request, decoded. path_values: by the names of the template. query, params (the body): typed by the document
    where there is one. headers: names in lower case. key: of idempotency. fault: DECLINE is the handler's to obey,
    the rest is the server's. base_url: as the client reached us. now: Unix seconds. number: counts requests,
    for ids of them.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, Any]
    params: dict[str, Any]
    base_url: str
    now: int
    path_values: dict[str, str] = {}
    key: str | None = None
    fault: Kind | None = None
    number: int = 0

    @property
    def is_declined(self) -> bool:
        """Whether a fault says that this one is to be declined."""
        return self.fault is Kind.DECLINE


class Answer(msgspec.Struct):
    """status and body: JSON for dicts and lists, HTML for text, nothing for None."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}


class Refusal(Exception):  # noqa: N818  an answer like others, raised from deep inside a handler
    """A refusal in the provider's own words. is_kept: it is remembered for the idempotency key like any answer;
    validation that fails before work began is not.
    """

    def __init__(self, answer: Answer, *, is_kept: bool = True) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.is_kept = is_kept


class Route(msgspec.Struct, frozen=True):
    """template: `/v1/refunds/{refund}`. handle awaits nothing, so a handler is never interrupted and the books need no
    locks. is_documented: the provider's document has it, so requests and answers are checked. has_faults: faults may
    meet it.
    """

    method: str
    template: str
    handle: Callable[[Request], Answer]
    is_documented: bool = True
    has_faults: bool = True
