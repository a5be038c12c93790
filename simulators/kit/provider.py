"""What a simulator supplies. Everything else (faults, checks, keys, books, webhooks, the server) is the kit's."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from simulators.kit.books import Books
from simulators.kit.clock import Clock
from simulators.kit.faults import Faults
from simulators.kit.idempotency import Store
from simulators.kit.message import Answer, Request, Route
from simulators.kit.openapi import Document, Violation
from simulators.kit.webhooks import Webhooks


class Trouble(Enum):
    """What the server has to say in the provider's own words."""

    NOT_FOUND = 404
    KEY_IN_FLIGHT = 409
    KEY_REUSED = 400
    TOO_MANY_REQUESTS = 429
    SERVER_ERROR = 500


class Provider:
    """A provider's simulator. A subclass sets what it has and says how the provider words things.

    name: of the command line. document: None where there is none. store: None where the provider knows no idempotency
    keys. about: printed by `python -m simulators` (test cards and accounts). guesses_types: a form's texts become
    integers and booleans where the document that would type them is absent.
    """

    name: str = ""
    about: str = ""
    guesses_types: bool = False

    def __init__(self, *, document: Document | None = None, store: Store | None = None, seed: int = 0) -> None:
        self.clock = Clock()
        self.faults = Faults(seed=seed)
        self.books = Books()
        self.document = document
        self.store = store
        self.webhooks = Webhooks(self.sign, self.faults, self.clock)
        self.routes: Sequence[Route] = ()

    def authenticate(self, request: Request) -> Answer | None:
        """The refusal of a caller that is not known; None lets it in."""
        return None

    def key_of(self, request: Request) -> str | None:
        """The request's idempotency key, with its scope where the provider's keys have one."""
        return None

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        """The provider's words for a trouble. Retry-After is added by the server."""
        raise NotImplementedError

    def refuse(self, request: Request, violations: Sequence[Violation]) -> Answer:
        """The provider's 400 for a request that its document does not allow."""
        raise NotImplementedError

    def distort(self, answer: Answer) -> Answer:
        """The same answer with another amount, for WRONG_AMOUNT; the given one is not changed."""
        return answer

    def headers(self, request: Request) -> dict[str, str]:
        """Go with every answer."""
        return {}

    def sign(self, body: bytes, event: dict[str, Any], at: int) -> dict[str, str]:
        """The headers of a webhook: its signature. body: as it is sent. at: Unix seconds."""
        return {}
