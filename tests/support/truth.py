"""Whether the ledger, the payments and the provider's own books tell the same story."""

from collections import Counter
from typing import Any

from bursar import wiring
from bursar.domains.disputes.model import HOLDING
from bursar.infra import keyfiles, seal
from bursar.providers.sandbox.books import TAKING, Account, Books
from tests.support.schemas import event_faults
from tests.support.service import Service

PROCESSING = ("AUTHORIZING", "CAPTURING", "VOIDING")
GIVEN_BACK = ("CANCELLED", "EXPIRED", "FAILED")


async def verify(service: Service) -> None:
    """Fail unless every invariant holds, the sandbox's books agree to the unit with payments and ledger, and the events
    are what their schemas say.
    """
    async with service.connection() as connection:
        found = {}
        for check in wiring.INVARIANTS:
            found.update(await check(connection))
        key = keyfiles.seal_key(service.app.settings.keys_path).public_key()
        found["seals"] = await seal.faults(connection, key)
        found["books"] = await book_faults(service.sandbox.books, connection)
        found["events are what docs/events says"] = await event_faults(connection, service.url)
    assert not any(found.values()), {name: faults for name, faults in found.items() if faults}


async def book_faults(books: Books, connection: Any) -> list[str]:
    """Where the provider believes something else than we do. A payment, or a refund, whose outcome is not known yet may
    differ, and so may a dispute that nobody has told us of.
    """
    books.refresh()
    accounts = dict(books.accounts)
    refunding = {row[0] for row in await connection.fetch("select payment_id from refunds where status = 'PROCESSING'")}
    disputed, untold = await _disputes(books, connection)
    faults, held, open_effects = [], Counter[str](), Counter[str]()
    for row in await connection.fetch("select * from payments"):
        account = accounts.pop(row["provider_transaction_id"], None)
        theirs = _amounts(account)
        ours = {
            "authorized": row["amount_authorized"],
            "captured": row["amount_captured"],
            "refunded": row["amount_refunded"],
            "disputed": disputed[row["id"]],
        }
        held[row["currency"]] += _left(theirs)
        open_effects[row["currency"]] += _left(theirs) - _left(ours)
        if row["status"] in PROCESSING:
            continue
        may_differ = {"refunded"} if row["id"] in refunding else set()
        may_differ |= {"disputed"} if row["provider_transaction_id"] in untold else set()
        if wrong := [name for name in ours if ours[name] != theirs[name] and name not in may_differ]:
            faults.append(f"payment {row['id']} {row['status']}: {wrong} of ours {ours}, the provider's {theirs}")
        if account and row["amount_authorized"] and row["status"] in GIVEN_BACK and not account.is_closed:
            faults.append(f"payment {row['id']} {row['status']}: the provider still holds its authorization")
    open_keys = {
        attempt["id"] for row in await connection.fetch("select attempts from payments where attempts <> '[]'")
        for attempt in row["attempts"]
    }  # fmt: skip
    for reference, account in accounts.items():
        if account.captured and not any(reference.endswith(key) for key in open_keys):
            faults.append(f"the provider took {account.captured} on {reference}, of which we know nothing")
    clearing = {row["currency"]: row["moved"] for row in await connection.fetch(CLEARING)}
    faults += [
        f"clearing of {currency}: {clearing.get(currency, 0)}, provider {total}, under way {open_effects[currency]}"
        for currency, total in held.items()
        if clearing.get(currency, 0) != total - open_effects[currency]
    ]
    return faults


CLEARING = """
select p.currency, sum(p.amount)::bigint as moved from postings p join journals j on j.id = p.journal_id
where p.account = 'provider:sandbox:clearing'
  and (p.about in (select id from payments) or p.about in (select id from disputes) and j.type <> 'dispute.fee')
group by p.currency
"""
"""What moved with payments and disputes; not what providers charge, pay out, or report otherwise."""


def _amounts(account: Account | None) -> dict[str, int]:
    names = ("authorized", "captured", "refunded", "disputed")
    return {name: 0 if account is None else getattr(account, name) for name in names}


def _left(amounts: dict[str, int]) -> int:
    return amounts["captured"] - amounts["refunded"] - amounts["disputed"]


async def _disputes(books: Books, connection: Any) -> tuple[Counter[str], set[str]]:
    """What disputes take of each payment by our books; and the provider's references of payments with a dispute that
    stands otherwise in its books.
    """
    disputed, ours = Counter[str](), dict[str, bool]()
    for row in await connection.fetch("select * from disputes where provider = 'sandbox'"):
        is_taken = row["status"] in HOLDING
        ours[row["provider_dispute_id"]] = is_taken
        disputed[row["payment_id"]] += row["amount"] * is_taken
    claims = {reference: entry.claim for reference, entry in books.disputes.items() if entry.claim is not None}
    untold = {
        claim.payment_reference
        for reference, claim in claims.items()
        if ours.get(reference, False) != (claim.status in TAKING)
    }
    return disputed, untold
