"""What must hold of the whole ledger, proven over the whole database: used by `ledger verify`, by tests, and hourly."""

from typing import Any, Final

from bursar.domains.ledger.model import digest

SAMPLES_MAX: Final = 10

CHECKS: Final[dict[str, str]] = {
    "journals sum to zero": """
        select 'journal ' || journal_id || ' is off by ' || sum(amount) || ' ' || currency
        from postings group by journal_id, currency having sum(amount) <> 0""",
    "journals are complete": """
        select 'journal ' || j.id || ' has ' || count(p.line) || ' of ' || j.line_count || ' lines'
        from journals j left join postings p on p.journal_id = j.id
        group by j.id having count(p.line) <> j.line_count""",
    "balances equal their postings": """
        select 'account ' || coalesce(a.name, p.account) || ' ' || coalesce(a.currency, p.currency)
            || ' says ' || coalesce(a.balance::text, 'nothing') || ', its postings ' || coalesce(p.total, 0)
        from accounts a full join (
            select account, currency, sum(amount) as total from postings group by account, currency) p
            on p.account = a.name and p.currency = a.currency
        where coalesce(a.balance, 0) <> coalesce(p.total, 0) or a.name is null""",
    "postings have their journal": """
        select 'journal ' || p.journal_id || ' is gone, ' || count(*) || ' of its postings are there'
        from postings p where not exists (select from journals j where j.id = p.journal_id) group by p.journal_id""",
    "journals have their event": """
        select 'journal ' || j.id || ' was posted by no command: its transaction has no event'
        from journals j where not exists (select from events e where e.tx = j.tx)""",
    "journals are of the time that their ids say": """
        select 'journal ' || id || ' is of another time than ' || occurred_at
        from journals where abs(extract(epoch from occurred_at) * 1000
            - ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) > 1""",
}
"""Each answers one text for each fault."""

JOURNALS: Final = """
select j.id, j.type, j.reference, j.digest,
       array_agg(array[p.line::text, p.account, p.currency, p.amount::text, p.about::text] order by p.line) as lines
from journals j join postings p on p.journal_id = j.id group by j.id
"""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each, at most SAMPLES_MAX told one by one."""
    found: dict[str, list[str]] = {}
    for name, sql in CHECKS.items():
        found[name] = [record[0] for record in await connection.fetch(sql)]
    found["digests fit their lines"] = await _digest_faults(connection)
    return found


async def counts(connection: Any) -> dict[str, int]:
    """How much there is: journals, postings, accounts."""
    return {
        table: await connection.fetchval(f"select count(*) from {table}")  # noqa: S608  constants
        for table in ("journals", "postings", "accounts")
    }


async def trial_balance(connection: Any) -> list[tuple[str, str, int]]:
    """Account, currency and balance of every account, by name; debit positive. Each currency sums to zero."""
    records = await connection.fetch("select name, currency, balance from accounts order by currency, name")
    return [(record["name"], record["currency"], record["balance"]) for record in records]


async def _digest_faults(connection: Any) -> list[str]:
    found = []
    async with connection.transaction(readonly=True):
        async for journal in connection.cursor(JOURNALS, prefetch=5_000):
            lines = [
                (int(line), account, currency, int(amount), about)
                for line, account, currency, amount, about in journal["lines"]
            ]
            if digest(journal["id"], journal["type"], journal["reference"], lines) != journal["digest"]:
                found.append(f"journal {journal['id']}: its lines are not those that were posted")
    return found
