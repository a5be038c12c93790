"""Transfers to connected accounts, payouts to banks, and the bank accounts that payouts go to."""

from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.balance import Balance
from simulators.stripe.cards import ACCOUNT_BY_NUMBER, ROUTING_NUMBER, Account
from simulators.stripe.world import Object, World

ARRIVAL_DAYS: Final = 2
DEFAULT_ACCOUNT: Final = "000123456789"


class Transfers:
    """hidden of a bank account: account (of cards.py)."""

    def __init__(self, world: World, balance: Balance) -> None:
        self._world, self._balance = world, balance
        self.routes = [
            Route("POST", "/v1/transfers", self._transfer),
            Route("GET", "/v1/transfers", self._transfers),
            Route("GET", "/v1/transfers/{transfer}", self._show_transfer),
            Route("POST", "/v1/transfers/{id}/reversals", self._reverse),
            Route("POST", "/v1/payouts", self._pay_out),
            Route("GET", "/v1/payouts", self._payouts),
            Route("GET", "/v1/payouts/{payout}", self._show_payout),
            Route("POST", "/v1/payouts/{payout}/cancel", self._cancel),
            Route("POST", "/v1/accounts/{account}/external_accounts", self._add_account),
        ]

    def settle(self) -> int:
        """Payouts arrive, or fail where the account says so. Returns how many ended."""
        waiting = [each for each in self._world.all("payout") if each["status"] in ("pending", "in_transit")]
        for payout in waiting:
            account: Account = self._world.hidden[payout["destination"]]["account"]
            if account.failure:
                back = self._balance.enter("payout_failure", payout, payout["amount"])
                payout |= {"status": "failed", "failure_code": account.failure}
                payout |= {"failure_balance_transaction": back["id"], "failure_message": "The payout was returned."}
                self._book("payout_returned", payout, None)
            else:
                payout["status"] = "paid"
            self._world.event(f"payout.{payout['status']}", payout)
        return len(waiting)

    def _book(self, kind: str, held: Object, request: Request | None) -> None:
        self._world.books.record(
            kind,
            held["id"],
            held["amount"],
            held["currency"].upper(),
            at=self._world.clock.unix(),
            key=request.key if request else None,
            metadata=dict(held["metadata"]),
            destination=held["destination"],
        )

    def _amount(self, request: Request, steps: dict[str, int]) -> tuple[int, str]:
        amount, currency = request.params.get("amount"), request.params["currency"].lower()
        if amount is None or amount < 1:
            raise words.unchecked("Invalid positive integer", code="parameter_invalid_integer", param="amount")
        if amount % (step := steps.get(currency, 1)):
            raise words.uneven(step, "amount")
        self._balance.need(amount, currency, is_refused=request.is_declined)
        return amount, currency

    def _transfer(self, request: Request) -> Answer:
        params = request.params
        if not params["destination"].startswith("acct_"):
            raise words.missing("destination", params["destination"], "destination")
        amount, currency = self._amount(request, words.STEPS)
        transfer = self._world.create(
            "transfer",
            "tr_",
            amount=amount,
            amount_reversed=0,
            currency=currency,
            description=params.get("description"),
            destination=params["destination"],
            destination_payment=self._world.id("py_"),
            metadata=params.get("metadata") or {},
            reversed=False,
            source_transaction=params.get("source_transaction"),
            transfer_group=params.get("transfer_group"),
        )
        url = f"/v1/transfers/{transfer['id']}/reversals"
        transfer["reversals"] = {"object": "list", "data": [], "has_more": False, "url": url}
        transfer["balance_transaction"] = self._balance.enter("transfer", transfer, -amount)["id"]
        self._book("transferred", transfer, request)
        self._world.event("transfer.created", transfer, request)
        return self._world.answer(transfer, request)

    def _reverse(self, request: Request) -> Answer:
        transfer = self._world.get("transfer", request.path_values["id"], "transfer")
        left = transfer["amount"] - transfer["amount_reversed"]
        amount = request.params.get("amount", left)
        if not 1 <= amount <= left:
            raise words.invalid(f"Transfer {transfer['id']} can be reversed by {left} at the most.", param="amount")
        transfer["amount_reversed"] += amount
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        made = self._world.create(
            "transfer_reversal",
            "trr_",
            amount=amount,
            currency=transfer["currency"],
            metadata=request.params.get("metadata") or {},
            transfer=transfer["id"],
        )
        del made["livemode"]
        made["balance_transaction"] = self._balance.enter("transfer", transfer, amount)["id"]
        self._book("transfer_reversed", transfer | {"amount": amount}, request)
        self._world.event("transfer.reversed", transfer, request)
        return self._world.answer(made, request)

    def _pay_out(self, request: Request) -> Answer:
        params = request.params
        destination = params.get("destination")
        if destination is None:
            destination = self._account("", {"account_number": DEFAULT_ACCOUNT, "currency": params["currency"]})["id"]
        else:
            self._world.get("bank_account", destination, "external_account")
        amount, currency = self._amount(request, words.PAYOUT_STEPS)
        payout = self._world.create(
            "payout",
            "po_",
            amount=amount,
            arrival_date=self._world.clock.unix() + ARRIVAL_DAYS * 86_400,
            automatic=False,
            currency=currency,
            description=params.get("description"),
            destination=destination,
            metadata=params.get("metadata") or {},
            method=params.get("method", "standard"),
            source_type=params.get("source_type", "card"),
            statement_descriptor=params.get("statement_descriptor"),
            status="pending",
            type="bank_account",
        )
        payout["balance_transaction"] = self._balance.enter("payout", payout, -amount)["id"]
        self._book("paid_out", payout, request)
        self._world.event("payout.created", payout, request)
        return self._world.answer(payout, request)

    def _cancel(self, request: Request) -> Answer:
        payout = self._world.get("payout", request.path_values["payout"], "payout")
        if payout["status"] != "pending":
            raise words.invalid(f"Payouts can only be canceled while pending; this one is {payout['status']}.")
        payout["status"] = "canceled"
        self._balance.enter("payout_cancel", payout, payout["amount"])
        self._book("payout_returned", payout, request)
        self._world.event("payout.canceled", payout, request)
        return self._world.answer(payout, request)

    def _add_account(self, request: Request) -> Answer:
        details = request.params.get("bank_account") or request.params.get("external_account")
        if not isinstance(details, dict):
            raise words.unchecked("Tokens are not simulated: send external_account[object]=bank_account.")
        return self._world.answer(self._account(request.path_values["account"], details), request)

    def _account(self, owner: str, details: dict[str, Any]) -> Object:
        number = str(details.get("account_number", ""))
        made = self._world.create(
            "bank_account",
            "ba_",
            account=owner or None,
            account_holder_name=details.get("account_holder_name"),
            account_holder_type=details.get("account_holder_type"),
            bank_name="STRIPE TEST BANK",
            country=details.get("country", "US"),
            currency=details.get("currency", "usd"),
            last4=number[-4:],
            routing_number=details.get("routing_number", ROUTING_NUMBER),
            status="new",
            metadata={},
        )
        self._world.hidden[made["id"]]["account"] = ACCOUNT_BY_NUMBER.get(number) or Account(number, "")
        return made

    def _transfers(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("destination", "transfer_group")}
        return self._world.page("transfer", request, **equal)

    def _payouts(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("destination", "status")}
        return self._world.page("payout", request, **equal)

    def _show_transfer(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("transfer", request.path_values["transfer"], "transfer"), request)

    def _show_payout(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("payout", request.path_values["payout"], "payout"), request)
