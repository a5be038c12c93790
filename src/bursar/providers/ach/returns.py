"""Entries that come back: which of ours, why, and what that means for us (`nacha.reasons` has the table)."""

from datetime import date, datetime

import msgspec

from bursar.providers.ach.nacha import checks, model
from bursar.providers.ach.nacha.addenda import (
    AnyReturn,
    DishonoredAddenda,
    IatReturnAddenda,
    ReturnAddenda,
)
from bursar.providers.ach.nacha.model import AnyHeader, Entry, File, IatEntry
from bursar.providers.ach.nacha.reasons import RETRIES_MAX, RETURNS, Category, ReturnReason


class Return(msgspec.Struct, frozen=True):
    """One returned entry.

    original_trace_number: of the entry that we sent. trace_number: of the return. amount: cents. is_credit: whether
    we had sent money. information: what the bank adds. return_trace_number, original_return_code: of a dishonored or
    contested return, the return that it speaks of.
    """

    code: str
    original_trace_number: str
    trace_number: str
    amount: int
    is_credit: bool
    original_rdfi: str
    sec_code: str
    company_id: str
    account_number: str
    name: str
    identification: str
    information: str = ""
    date_of_death: date | None = None
    return_trace_number: str | None = None
    original_return_code: str | None = None

    @property
    def reason(self) -> ReturnReason:
        return RETURNS[self.code]

    @property
    def is_plain(self) -> bool:
        """Whether this is a return, not a quarrel between banks about one."""
        return self.reason.category not in (Category.DISHONORED, Category.CONTESTED)


def returns_in(file: File) -> list[Return]:
    """Give every returned entry, in the order of the file; dishonored and contested returns too."""
    found = []
    for batch in file.batches:
        for entry in batch.entries:
            addenda = model.return_of(entry)
            if addenda is not None and isinstance(entry, Entry | IatEntry):
                found.append(_return(batch.header, entry, addenda))
    return found


def may_retry(code: str, *, retries: int) -> bool:
    """Whether an entry returned with `code` may be presented again after `retries` repeats."""
    return RETURNS[code].is_retryable and retries < RETRIES_MAX


def _return(header: AnyHeader, entry: Entry | IatEntry, addenda: AnyReturn) -> Return:
    plain = Return(
        code=addenda.return_code,
        original_trace_number=addenda.original_trace_number,
        trace_number=entry.trace_number,
        amount=entry.amount,
        is_credit=model.is_credit(entry.transaction_code),
        original_rdfi=addenda.original_rdfi,
        sec_code=header.sec_code,
        company_id=header.company_id,
        account_number=entry.account_number.strip(),
        name=entry.name.strip() if isinstance(entry, Entry) else "",
        identification=entry.identification.strip() if isinstance(entry, Entry) else "",
    )
    if isinstance(addenda, ReturnAddenda | IatReturnAddenda):
        return msgspec.structs.replace(
            plain, information=addenda.information.strip(), date_of_death=_date(addenda.date_of_death)
        )
    return msgspec.structs.replace(
        plain,
        information=addenda.information.strip() if isinstance(addenda, DishonoredAddenda) else "",
        return_trace_number=addenda.return_trace_number,
        original_return_code=f"R{addenda.original_return_code}",
    )


def _date(text: str) -> date | None:
    """A day as YYMMDD; the two digits of the year mean 1969 to 2068."""
    if not checks.is_date(text):
        return None
    return datetime.strptime(text, "%y%m%d").date()  # noqa: DTZ007  a day of the file, not a moment
