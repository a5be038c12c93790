"""The SEPA adapter: payouts out as pain.001, verdicts in as pain.002."""

import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest

from bursar.providers.port import Approved, Declined, Outcome, Payout, Pending, Unavailable, Unknown
from bursar.providers.sepa.pain import NAMESPACE, validate
from bursar.providers.sepa.text import end_to_end_id
from tests.providers.bank_setting import Bank, account, authorization, euro_account, opened, payout

REPORT = """<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>R-1</MsgId><CreDtTm>2026-12-01T08:00:00Z</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{file}</OrgnlMsgId><OrgnlMsgNmId>pain.001</OrgnlMsgNmId>{group}</OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>{file}</OrgnlPmtInfId>{transfers}</OrgnlPmtInfAndSts>
</CstmrPmtStsRpt></Document>"""
TRANSFER = """<TxInfAndSts><OrgnlEndToEndId>{key}</OrgnlEndToEndId><TxSts>{status}</TxSts>
<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn></StsRsnInf></TxInfAndSts>"""


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path, "sepa") as opened_bank:
        yield opened_bank


def declined(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


def euros(amount: int = 5000, **changes: object) -> Payout:
    request = payout(amount, instrument=euro_account(), currency="EUR")
    return msgspec.structs.replace(request, **changes)


def texts(content: bytes, name: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(content).iter(f"{{{NAMESPACE}}}{name}")]


def report(content: bytes, *transfers: tuple[Payout, str, str], group: str = "", batch: str = "") -> str:
    told = [
        TRANSFER.format(key=end_to_end_id(request.key), status=status, reason=reason)
        for request, status, reason in transfers
    ]
    of_group = f"<GrpSts>{group}</GrpSts>" if group else ""
    of_batch = f"<PmtInfSts>{batch}</PmtInfSts>" if batch else ""
    return REPORT.format(file=texts(content, "MsgId")[0], group=of_group, transfers=of_batch + "".join(told))


async def sent(bank: Bank, *requests: Payout) -> bytes:
    for request in requests:
        assert await bank.do(request) == Pending()
    return await bank.send()


class TestOutgoing:
    async def test_is_a_file_by_the_schema_with_every_payout_once(self, bank: Bank) -> None:
        requests = [euros(amount) for amount in (100, 9_999_999, 1)]
        content = await sent(bank, *requests)
        validate(content)
        assert sorted(texts(content, "EndToEndId")) == sorted(end_to_end_id(request.key) for request in requests)
        assert sorted(texts(content, "InstdAmt")) == ["0.01", "1.00", "99999.99"]
        assert texts(content, "Ustrd") == ["PAYOUT 4711"] * 3
        await bank.pass_days(3)
        assert len(bank.outgoing()) == 1

    async def test_is_paid_on_a_day_on_which_target2_is_open(self, bank: Bank) -> None:
        bank.clock.at = datetime(2026, 12, 24, 9, tzinfo=UTC)
        content = await sent(bank, euros())
        assert texts(content, "ReqdExctnDt") == [] or "2026-12-28" in content.decode()
        row = (await bank.rows("select effective_on, settles_on from bank_entries"))[0]
        assert tuple(row) == (date(2026, 12, 28), date(2026, 12, 30))

    @pytest.mark.parametrize(
        "changes, code",
        [
            ({"currency": "USD"}, "currency_not_supported"),
            ({"amount": 0}, "amount_too_small"),
            ({"amount": 100_000_000_000}, "amount_too_large"),
            ({"destination": euro_account("DE89370400440532013001")}, "invalid_account_number"),
            ({"destination": euro_account("BR1500000000000010932840814P2")}, "invalid_account_number"),
            ({"destination": account()}, "invalid_account_number"),
            ({"statement": "日"}, None),
        ],
    )
    async def test_what_no_file_can_carry_is_declined(self, bank: Bank, changes: dict, code: str | None) -> None:
        request = euros(**changes)
        if code is None:
            assert await bank.do(request) == Pending()
            return
        assert declined(await bank.do(request)) == code
        assert declined(await bank.ask(request)) == code


class TestIncoming:
    async def test_what_is_not_rejected_in_time_is_paid(self, bank: Bank) -> None:
        request = euros()
        await sent(bank, request)
        assert await bank.ask(request) == Pending()
        await bank.pass_days(5)
        assert await bank.ask(request) == Approved(f"sepa_{request.key}", step_reference=f"sepa_{request.key}")

    async def test_each_transfer_has_its_own_verdict(self, bank: Bank) -> None:
        rejected, paid, silent = requests = [euros(), euros(), euros()]
        content = await sent(bank, *requests)
        bank.bring("r.xml", report(content, (rejected, "RJCT", "AC04"), (paid, "ACSC", ""), group="PART"))
        await bank.exchange()
        assert declined(await bank.ask(rejected)) == "account_closed"
        assert isinstance(await bank.ask(paid), Approved)
        assert await bank.ask(silent) == Pending()

    async def test_a_file_can_be_rejected_as_a_whole(self, bank: Bank) -> None:
        requests = [euros(), euros()]
        content = await sent(bank, *requests)
        bank.bring("r.xml", report(content, group="RJCT"))
        await bank.exchange()
        assert [declined(await bank.ask(request)) for request in requests] == ["payout_declined"] * 2

    async def test_a_file_that_was_taken_can_have_its_batch_rejected(self, bank: Bank) -> None:
        requests = [euros(), euros()]
        bank.bring("r.xml", report(await sent(bank, *requests), group="ACTC", batch="RJCT"))
        await bank.exchange()
        assert [declined(await bank.ask(request)) for request in requests] == ["payout_declined"] * 2

    async def test_a_file_that_is_accepted_says_nothing_yet(self, bank: Bank) -> None:
        request = euros()
        bank.bring("r.xml", report(await sent(bank, request), (request, "ACCP", ""), group="ACCP"))
        await bank.exchange()
        assert await bank.ask(request) == Pending()
        assert [row[0] for row in await bank.rows("select entry_id is null from bank_notices")] == [False]

    async def test_a_rejection_after_it_counted_as_paid_says_so(self, bank: Bank) -> None:
        request = euros()
        content = await sent(bank, request)
        await bank.pass_days(5)
        bank.bring("late.xml", report(content, (request, "RJCT", "AC06")))
        (news,) = await bank.exchange()
        assert (news.is_late, news.failure_code, news.method_id) == (True, "account_frozen", request.destination.id)
        assert declined(await bank.ask(request)) == "account_frozen"

    async def test_what_is_about_no_file_of_ours_is_kept(self, bank: Bank) -> None:
        request = euros()
        content = await sent(bank, request)
        other = report(content, (request, "RJCT", "AC04")).replace(texts(content, "MsgId")[0], "sepa-other")
        bank.bring("other.xml", other)
        await bank.exchange()
        assert await bank.ask(request) == Pending()
        row = (await bank.rows("select about, entry_id from bank_notices"))[0]
        assert tuple(row) == (f"sepa-other/{request.key}", None)

    async def test_what_cannot_be_read_is_put_aside(self, bank: Bank) -> None:
        bank.bring("torn.xml", "<Document><CstmrPmt")
        await bank.exchange()
        refused = bank.directory / "incoming" / "refused"
        assert sorted(path.name for path in refused.iterdir()) == ["torn.xml", "torn.xml.reason"]


class TestOneKey:
    async def test_is_paid_once(self, bank: Bank) -> None:
        request = euros()
        assert [await bank.do(request) for _ in range(3)] == [Pending()] * 3
        assert texts(await bank.send(), "EndToEndId") == [end_to_end_id(request.key)]
        assert isinstance(await bank.do(msgspec.structs.replace(request, amount=1)), Unknown)

    async def test_is_not_shared_with_the_other_rail(self, bank: Bank, database_url: str, tmp_path: Path) -> None:
        request = authorization(capture=True)
        async with opened(database_url, tmp_path) as ach:
            await ach.do(request)
        assert isinstance(await bank.do(euros(key=request.key)), Unknown)

    async def test_that_nobody_saw_is_dead(self, bank: Bank) -> None:
        request = euros()
        assert isinstance(await bank.ask(request), Unavailable)
        assert isinstance(await bank.do(request), Unavailable)
