"""Writing: every record of 94 characters, controls with totals of our own, filled with nines to blocks of ten."""

import msgspec

from bursar.providers.ach.nacha import addenda, model, records
from bursar.providers.ach.nacha.findings import NachaError
from bursar.providers.ach.nacha.layout import Layout, MisfitError
from bursar.providers.ach.nacha.lines import FILLER
from bursar.providers.ach.nacha.model import BLOCKING_FACTOR, AnyEntry, Batch, File
from bursar.providers.ach.nacha.records import (
    AdvBatchControl,
    AdvFileControl,
    BatchControl,
    FileControl,
)


def write(file: File) -> str:
    """Give the text of a file, each line ended by a line feed, the last one too.

    Of a file that was read, this is the text that was read but for line ends, trailing blanks, missing filler and empty
    lines at the end. Raises NachaError, with the line that would have been written, where a value does not fit its
    field. The rules between records are the reader's to check: `build` reads back what it writes.
    """
    page = _Page()
    page.add(file.header, records.LAYOUTS[type(file.header)])
    for batch in file.batches:
        _write_batch(page, batch)
    totals = file.totals
    kind = AdvFileControl if file.is_advice else FileControl
    control = kind(
        batch_count=totals.batch_count,
        block_count=-(-(len(page.lines) + 1) // BLOCKING_FACTOR),
        entry_addenda_count=totals.entry_addenda_count,
        entry_hash=totals.entry_hash,
        total_debit=totals.debit,
        total_credit=totals.credit,
        reserved=file.reserved,
    )
    page.add(control, records.LAYOUTS[kind])
    page.lines += [FILLER] * (-len(page.lines) % BLOCKING_FACTOR)
    return "\n".join(page.lines) + "\n"


class _Page:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, record: msgspec.Struct, layout: Layout, **more: int | str) -> None:
        try:
            self.lines.append(records.render(record, layout, **more))
        except MisfitError as misfit:
            raise NachaError(len(self.lines) + 1, misfit.field, misfit.reason) from misfit


def _write_batch(page: _Page, batch: Batch) -> None:
    page.add(batch.header, records.LAYOUTS[type(batch.header)])
    for entry in batch.entries:
        _write_entry(page, entry)
    control = _control(batch)
    page.add(control, records.LAYOUTS[type(control)])


def _write_entry(page: _Page, entry: AnyEntry) -> None:
    page.add(entry, model.LAYOUTS[type(entry)], addenda_indicator=int(bool(entry.addenda)))
    for record in entry.addenda:
        page.add(record, addenda.LAYOUTS[type(record)])


def _control(batch: Batch) -> BatchControl | AdvBatchControl:
    header, tail, totals = batch.header, batch.tail, batch.totals
    if header.sec_code == "ADV":
        return AdvBatchControl(
            service_class=header.service_class,
            entry_addenda_count=totals.entry_addenda_count,
            entry_hash=totals.entry_hash,
            total_debit=totals.debit,
            total_credit=totals.credit,
            operator_data=tail.operator_data,
            odfi_routing=header.odfi_routing,
            batch_number=header.batch_number,
        )
    return BatchControl(
        service_class=header.service_class,
        entry_addenda_count=totals.entry_addenda_count,
        entry_hash=totals.entry_hash,
        total_debit=totals.debit,
        total_credit=totals.credit,
        company_id=header.company_id if tail.company_id is None else tail.company_id,
        authentication_code=tail.authentication_code,
        reserved=tail.reserved,
        odfi_routing=header.odfi_routing,
        batch_number=header.batch_number,
    )
