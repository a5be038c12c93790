"""Files of our own to test with: what the corpus lacks, made from the model."""

from bursar.providers.ach.nacha import Batch, File
from bursar.providers.ach.nacha.addenda import (
    Addenda,
    IatBank,
    IatCorrespondent,
    IatParty,
    IatReceiver,
    IatRemittance,
    IatTransaction,
)
from bursar.providers.ach.nacha.model import AnyEntry, Entry, IatEntry
from bursar.providers.ach.nacha.records import BatchHeader, FileHeader, IatBatchHeader

ODFI = "12104288"
RDFI = "231380104"

HEADER = FileHeader(
    immediate_destination=" 231380104",
    immediate_origin=" 121042882",
    creation_date="260703",
    creation_time="1055",
    file_id_modifier="A",
    destination_name="Federal Reserve Bank",
    origin_name="My Bank Name",
)


def trace(sequence: int) -> str:
    return f"{ODFI}{sequence:07}"


def entry(code: int = 22, *, sequence: int = 1, amount: int = 5000, addenda: tuple[Addenda, ...] = ()) -> Entry:
    return Entry(
        transaction_code=code,
        routing_number=RDFI,
        account_number="12345678",
        amount=amount,
        identification="ID-1",
        name="Jane Doe",
        discretionary="",
        trace_number=trace(sequence),
        addenda=addenda,
    )


def batch(*entries: AnyEntry, sec_code: str = "PPD", service_class: int = 200, description: str = "PAYOUT") -> Batch:
    header = BatchHeader(
        service_class=service_class,
        company_name="Bursar",
        company_id="1234567890",
        sec_code=sec_code,
        entry_description=description,
        effective_date="260706",
        odfi_routing=ODFI,
        batch_number=1,
    )
    return Batch(header, entries)


def file(*batches: Batch) -> File:
    return File(HEADER, batches)


def international(*last: Addenda, code: int = 22, remittances: int = 1, correspondents: int = 2) -> File:
    """An IAT file of one entry: the seven mandatory addenda, some of types 17 and 18, and `last`."""
    addenda: tuple[Addenda, ...] = (
        IatTransaction("ANN", 100_000, "928383-23938", "BEK Enterprises", "", 1),
        IatParty("11", "BEK Solutions", "15 West Place Street", "", 1),
        IatParty("12", "JacobsTown*PA\\", "US*19305\\", "", 1),
        IatBank("13", "Wells Fargo", "01", "121042882", "US", "", 1),
        IatBank("14", "Citadel Bank", "01", "231380104", "CA", "", 1),
        IatReceiver("987465493213987", "2121 Front Street", "", 1),
        IatParty("16", "LetterTown*AB\\", "CA*80014\\", "", 1),
        *(IatRemittance("An international payment", number, 1) for number in range(1, remittances + 1)),
        *(
            IatCorrespondent("Bank of Germany", "01", "987987987654654", "DE", "", number, 1)
            for number in range(1, correspondents + 1)
        ),
        *last,
    )
    header = IatBatchHeader(
        service_class=220,
        iat_indicator="",
        exchange_indicator="FF",
        exchange_reference_indicator="3",
        exchange_reference="",
        destination_country="CA",
        company_id="1234567890",
        sec_code="IAT",
        entry_description="TRADEPAYMT",
        origin_currency="USD",
        destination_currency="CAD",
        effective_date="260706",
        settlement_day="",
        originator_status="1",
        odfi_routing=ODFI,
        batch_number=1,
    )
    whole = IatEntry(
        transaction_code=code,
        routing_number=RDFI,
        addenda_count=len(addenda),
        reserved="",
        amount=100_000,
        account_number="231380104",
        reserved_two="",
        gateway_screening="",
        secondary_screening="",
        trace_number=trace(1),
        addenda=addenda,
    )
    return File(HEADER, (Batch(header, (whole,)),))
