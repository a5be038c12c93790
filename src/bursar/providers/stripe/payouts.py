"""Money to vendors: transfers to connected accounts (`acct_…`), payouts to our own bank accounts and cards."""

from typing import Any, Final

from bursar.providers.declines import declined
from bursar.providers.port import Approved, Outcome, Payout, Pending
from bursar.providers.stripe import answers
from bursar.providers.stripe.answers import read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls, first_of, labels, made_by, once
from bursar.providers.stripe.errors import Mismatch, our_code
from bursar.providers.stripe.money import to_stripe

DEFAULT: Final = "default"
"""The destination token of the account's own default bank account."""


async def pay(calls: Calls, request: Payout) -> Outcome:
    """Send money to a token of Stripe's. Anything else is a decline: Stripe pays no account that it does not know."""
    token = request.destination.token
    if token is None or not (is_account(token) or token == DEFAULT or token.startswith(("ba_", "card_"))):
        return declined("payout_declined", "Stripe pays to its own tokens only: acct_…, ba_…, card_… or default")
    params: dict[str, Any] = {"currency": request.currency.lower(), "metadata": labels(request)}
    if is_account(token):
        params |= {"amount": to_stripe(request.amount, request.currency), "destination": token}
        params |= {"transfer_group": request.key, "description": request.statement}
        transfer = read(await calls.v1.transfers.create_async(params, once(request.key)), answers.Transfer)
        return _transferred(request, transfer)
    params |= {"amount": to_stripe(request.amount, request.currency, is_payout=True), "method": "standard"}
    params |= {"statement_descriptor": request.statement} if request.statement else {}
    if token != DEFAULT:
        params["destination"] = token
    return _paid(request, read(await calls.v1.payouts.create_async(params, once(request.key)), answers.Payout))


async def find(calls: Calls, request: Payout) -> Outcome | None:
    """A transfer by its group, which is our key; a payout by our key among those made since."""
    if is_account(request.destination.token or ""):
        pages = await calls.v1.transfers.list_async({"transfer_group": request.key, "limit": PAGE_SIZE})
        transfer = await first_of(pages, answers.Transfer, request.key)
        return None if transfer is None else _transferred(request, transfer)
    pages = await calls.v1.payouts.list_async({"created": made_by(request.asked_at), "limit": PAGE_SIZE})
    payout = await first_of(pages, answers.Payout, request.key)
    return None if payout is None else _paid(request, payout)


def is_account(token: str) -> bool:
    """Whether a token is a connected account's."""
    return token.startswith("acct_")


def _transferred(request: Payout, transfer: answers.Transfer) -> Outcome:
    _compare(request, transfer, is_payout=False)
    return Approved(transfer.id)


def _paid(request: Payout, payout: answers.Payout) -> Outcome:
    """A payout is under way for days, and its bank may send it back: until then it is Pending."""
    _compare(request, payout, is_payout=True)
    if payout.status == "paid":
        return Approved(payout.id)
    if payout.status in ("failed", "canceled"):
        return declined(
            our_code(request, payout.failure_code), payout.failure_message or f"the payout is {payout.status}"
        )
    return Pending()


def _compare(request: Payout, found: answers.Transfer | answers.Payout, *, is_payout: bool) -> None:
    asked = to_stripe(request.amount, request.currency, is_payout=is_payout)
    if (found.amount, found.currency.upper()) != (asked, request.currency):
        raise Mismatch(f"{found.id} is of {found.amount} {found.currency}, asked for {asked} {request.currency}")
