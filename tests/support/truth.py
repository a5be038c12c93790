"""Whether the ledger, the payments and the provider's own books tell the same story."""

from collections import Counter
from typing import Any

from bursar import wiring
from bursar.infra import keyfiles, seal
from bursar.providers.sandbox.books import Books
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
    """Where the provider believes something else than we do. A payment whose outcome is not known yet may differ."""
    books.refresh()
    accounts = dict(books.accounts)
    faults, captured, open_effects = [], Counter[str](), Counter[str]()
    for row in await connection.fetch("select * from payments"):
        account = accounts.pop(row["provider_transaction_id"], None)
        if row["status"] in PROCESSING:
            if account is not None:
                captured[row["currency"]] += account.captured
                open_effects[row["currency"]] += account.captured - row["amount_captured"]
            continue
        theirs = (account.authorized, account.captured, account.currency) if account else (0, 0, row["currency"])
        ours = (row["amount_authorized"], row["amount_captured"], row["currency"])
        if theirs != ours:
            faults.append(f"payment {row['id']} {row['status']}: ours {ours}, the provider's {theirs}")
        if account and row["amount_authorized"] and row["status"] in GIVEN_BACK and not account.is_closed:
            faults.append(f"payment {row['id']} {row['status']}: the provider still holds its authorization")
        captured[row["currency"]] += theirs[1]
    open_keys = {
        attempt["id"] for row in await connection.fetch("select attempts from payments where attempts <> '[]'")
        for attempt in row["attempts"]
    }  # fmt: skip
    for reference, account in accounts.items():
        if account.captured and not any(reference.endswith(key) for key in open_keys):
            faults.append(f"the provider took {account.captured} on {reference}, of which we know nothing")
    clearing = {
        row["currency"]: row["balance"]
        for row in await connection.fetch(
            "select currency, balance from accounts where name = 'provider:sandbox:clearing'"
        )
    }
    faults += [
        f"clearing of {currency}: {clearing.get(currency, 0)}, provider {total}, under way {open_effects[currency]}"
        for currency, total in captured.items()
        if clearing.get(currency, 0) != total - open_effects[currency]
    ]
    return faults
