"""Vault v3: setup tokens, which a payer may have to approve, and the payment tokens made of them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.paypal import methods
from simulators.paypal.desk import Desk
from simulators.paypal.methods import APPROVED, TOKENS, Behaviour
from simulators.paypal.words import error, link, refused

KEY_SECONDS: Final = 3 * 3_600
"""The document: the server stores keys for 3 hours."""
TEST_CARD: Final = {"last_digits": "1111", "expiry": "2030-01", "brand": "VISA"}


class Token(msgspec.Struct):
    """A setup token or a payment token. status, of a setup token: CREATED, PAYER_ACTION_REQUIRED, APPROVED, VAULTED."""

    id: str
    behaviour: Behaviour
    shown: dict[str, Any]
    customer_id: str
    status: str = ""


class Vault:
    """Tokens by id; those of methods.TOKENS are there from the start."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.setups: dict[str, Token] = {}
        self.tokens = {
            name: Token(
                id=name,
                behaviour=behaviour,
                shown=dict(methods.PAYER if behaviour.source == "paypal" else TEST_CARD),
                customer_id="customer_test",
            )
            for name, behaviour in TOKENS.items()
        }

    def routes(self) -> Sequence[Route]:
        """Vault v3, and the page to which a payer is sent."""
        return (
            Route("POST", "/v3/vault/setup-tokens", self.desk.once(self._set_up, seconds=KEY_SECONDS)),
            Route("GET", "/v3/vault/setup-tokens/{id}", self._get_setup),
            Route("POST", "/v3/vault/payment-tokens", self.desk.once(self._create, seconds=KEY_SECONDS)),
            Route("GET", "/v3/vault/payment-tokens", self._list),
            Route("GET", "/v3/vault/payment-tokens/{id}", self._get),
            Route("DELETE", "/v3/vault/payment-tokens/{id}", self._delete),
            Route("GET", "/agreements/approve", self._approve, is_documented=False, has_faults=False),
        )

    def behaviour(self, token_id: str, source: str) -> tuple[Behaviour, dict[str, Any]]:
        """What a payment token does, and what is shown of it. Raises the refusal of one that is none of `source`: the
        document of Orders has no other for one that is not there."""
        token = self.tokens.get(token_id)
        if token is None or token.behaviour.source != source:
            raise refused("MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE")
        return token.behaviour, token.shown

    def _set_up(self, request: Request) -> Answer:
        source = request.params["payment_source"]
        behaviour, shown = _source(source)
        if request.is_declined or behaviour.response_code:
            raise Refusal(error(422, "PAYMENT_SOURCE_DECLINED_BY_PROCESSOR"))
        needs_action = behaviour.needs_action or "paypal" in source
        token = Token(
            id=self.desk.new_id("S"),
            behaviour=behaviour,
            shown=shown,
            customer_id=request.params.get("customer", {}).get("id") or self.desk.new_id("customer_"),
            status="PAYER_ACTION_REQUIRED" if needs_action else "APPROVED",
        )
        self.setups[token.id] = token
        return Answer(201, _told_setup(token, request.base_url))

    def _get_setup(self, request: Request) -> Answer:
        return Answer(200, _told_setup(_known(self.setups, request.path_values["id"]), request.base_url))

    def _approve(self, request: Request) -> Answer:
        """The payer at PayPal's page: approves at once."""
        token = _known(self.setups, request.query.get("approval_session_id", ""))
        if token.status == "PAYER_ACTION_REQUIRED":
            token.status = "APPROVED"
        return Answer(200, f"<p>{token.id} is {token.status.lower()}.</p>")

    def _create(self, request: Request) -> Answer:
        source = request.params["payment_source"]
        if "token" in source:
            setup = _known(self.setups, source["token"]["id"])
            if setup.status != "APPROVED":
                raise Refusal(error(422, "SETUP_TOKEN_NOT_APPROVED" if setup.status != "VAULTED" else "TOKEN_VAULTED"))
            setup.status, behaviour, shown = "VAULTED", setup.behaviour, setup.shown
            customer_id = setup.customer_id
        else:
            behaviour, shown = _source(source)
            customer_id = request.params.get("customer", {}).get("id") or self.desk.new_id("customer_")
        token = Token(self.desk.new_id("V"), behaviour, shown, customer_id)
        self.tokens[token.id] = token
        told = _told(token, request.base_url)
        self.desk.emit("VAULT.PAYMENT-TOKEN.CREATED", "payment_token", told, "a payment token was made")
        return Answer(201, told)

    def _list(self, request: Request) -> Answer:
        customer_id = request.query["customer_id"]
        tokens = [_told(each, request.base_url) for each in self.tokens.values() if each.customer_id == customer_id]
        return Answer(200, {"customer": {"id": customer_id}, "payment_tokens": tokens} if tokens else {})

    def _get(self, request: Request) -> Answer:
        return Answer(200, _told(_known(self.tokens, request.path_values["id"]), request.base_url))

    def _delete(self, request: Request) -> Answer:
        token = self.tokens.pop(request.path_values["id"], None)
        if token is not None:
            told = {"id": token.id}
            self.desk.emit("VAULT.PAYMENT-TOKEN.DELETED", "payment_token", told, "a payment token was removed")
        return Answer(204)


def _known(tokens: dict[str, Token], token_id: str) -> Token:
    if token_id not in tokens:
        raise Refusal(error(404, "TOKEN_NOT_FOUND"))
    return tokens[token_id]


def _source(source: dict[str, Any]) -> tuple[Behaviour, dict[str, Any]]:
    if "card" in source:
        return methods.of_card(source["card"]), methods.shown_card(source["card"])
    return APPROVED, dict(methods.PAYER)


def _told(token: Token, base: str) -> dict[str, Any]:
    path = f"{base}/v3/vault/payment-tokens/{token.id}"
    return {
        "id": token.id,
        "customer": {"id": token.customer_id},
        "payment_source": {token.behaviour.source: token.shown},
        "links": [link(path, "self"), link(path, "delete", "DELETE")],
    }


def _told_setup(token: Token, base: str) -> dict[str, Any]:
    links = [link(f"{base}/v3/vault/setup-tokens/{token.id}", "self")]
    if token.status == "PAYER_ACTION_REQUIRED":
        links.append(link(f"{base}/agreements/approve?approval_session_id={token.id}", "approve"))
    return {
        "id": token.id,
        "status": token.status,
        "customer": {"id": token.customer_id},
        "payment_source": {token.behaviour.source: token.shown},
        "links": links,
    }
