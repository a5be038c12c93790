"""pain.002 status reports: which transfers the bank takes, and what it says of those that it does not."""

import re

import pytest

from bursar.providers.declines import DECLINES
from bursar.providers.port import Declined
from bursar.providers.sepa.status import (
    DECLINE_CODES,
    STANDINGS,
    ReportUnreadable,
    Standing,
    Verdict,
    read_status_report,
)

KEY = "019b7966-e200-7000-8000-0000000000e1"
OTHER = "019b7966-e200-7000-8000-0000000000e2"


def report(group: str = "", batch: str = "", *, version: str = "10") -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
        <Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.{version}"><CstmrPmtStsRpt>
          <GrpHdr><MsgId>REPORT-1</MsgId><CreDtTm>2026-03-02T10:00:00Z</CreDtTm></GrpHdr>
          <OrgnlGrpInfAndSts><OrgnlMsgId>MSG-1</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}
          </OrgnlGrpInfAndSts>{batch}</CstmrPmtStsRpt></Document>""".encode()


def batch(*named: str, status: str = "") -> str:
    return f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>MSG-1</OrgnlPmtInfId>{status}{''.join(named)}</OrgnlPmtInfAndSts>"


def named(key: str, status: str, reason: str = "", says: str = "") -> str:
    info = f"<AddtlInf>{says}</AddtlInf>" if says else ""
    why = f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn>{info}</StsRsnInf>" if reason else ""
    told = f"<TxSts>{status}</TxSts>" if status else ""
    return f"<TxInfAndSts><OrgnlEndToEndId>{key.replace('-', '')}</OrgnlEndToEndId>{told}{why}</TxInfAndSts>"


class TestRead:
    @pytest.mark.parametrize("version", ["03", "10", "12"])
    def test_each_transfer_has_its_own_verdict(self, version: str) -> None:
        read = read_status_report(
            report(
                "<GrpSts>PART</GrpSts>",
                batch(named(KEY, "ACSC"), named(OTHER, "RJCT", "AC04", "Account closed")),
                version=version,
            )
        )
        assert (read.message_id, read.original_message_id) == ("REPORT-1", "MSG-1")
        assert read.verdict_on(KEY) == Verdict(Standing.SETTLED, "ACSC")
        assert read.verdict_on(OTHER) == Verdict(Standing.REJECTED, "RJCT", "AC04", "Account closed")
        assert read.verdict_on("another") == Verdict(Standing.PENDING, "PART")

    def test_a_rejected_file_rejects_what_is_not_named(self) -> None:
        why = "<StsRsnInf><Rsn><Cd>FF01</Cd></Rsn><AddtlInf>line 3</AddtlInf><AddtlInf>is bad</AddtlInf></StsRsnInf>"
        verdict = read_status_report(report(f"<GrpSts>RJCT</GrpSts>{why}")).verdict_on(KEY)
        assert verdict == Verdict(Standing.REJECTED, "RJCT", "FF01", "line 3 is bad")

    def test_a_batch_speaks_for_its_transfers(self) -> None:
        read = read_status_report(report("", batch(named(KEY, ""), status="<PmtInfSts>ACCP</PmtInfSts>")))
        assert read.verdict_on(KEY) == read.verdict_on(OTHER) == Verdict(Standing.ACCEPTED, "ACCP")

    @pytest.mark.parametrize("group", ["ACTC", "ACCP", "PART", "PDNG"])
    def test_a_batch_is_rejected_whatever_was_said_of_its_file(self, group: str) -> None:
        rejected = batch(status="<PmtInfSts>RJCT</PmtInfSts><StsRsnInf><Rsn><Cd>DT01</Cd></Rsn></StsRsnInf>")
        read = read_status_report(report(f"<GrpSts>{group}</GrpSts>", rejected))
        assert read.verdict_on(KEY) == Verdict(Standing.REJECTED, "RJCT", "DT01")

    def test_a_rejected_file_has_no_batch_that_is_not(self) -> None:
        read = read_status_report(report("<GrpSts>RJCT</GrpSts>", batch(status="<PmtInfSts>ACCP</PmtInfSts>")))
        assert read.verdict_on(KEY) == Verdict(Standing.REJECTED, "RJCT")

    def test_of_several_batches_none_speaks_for_the_others(self) -> None:
        rejected = batch(named(KEY, ""), status="<PmtInfSts>RJCT</PmtInfSts>")
        read = read_status_report(report("", rejected + batch(status="<PmtInfSts>ACCP</PmtInfSts>")))
        assert read.verdict_on(KEY) == Verdict(Standing.REJECTED, "RJCT")
        assert read.verdict_on(OTHER) is None

    def test_a_status_that_nobody_knows_says_nothing_yet(self) -> None:
        verdict = read_status_report(report("<GrpSts>WHAT</GrpSts>")).file
        assert verdict == Verdict(Standing.PENDING, "WHAT")

    @pytest.mark.parametrize("code, standing", sorted(STANDINGS.items()))
    def test_every_status(self, code: str, standing: Standing) -> None:
        verdict = read_status_report(report(batch=batch(named(KEY, code)))).verdict_on(KEY)
        assert verdict is not None and verdict.standing is standing


class TestDeclined:
    @pytest.mark.parametrize(
        "reason, code",
        [
            ("AC01", "invalid_account_number"),
            ("AC04", "account_closed"),
            ("AC06", "account_frozen"),
            ("AG01", "payout_declined"),
            ("AM04", "provider_balance_insufficient"),
            ("MD07", "account_frozen"),
            ("RC01", "invalid_routing_number"),
            ("MS03", "payout_declined"),
            ("ZZ99", "payout_declined"),
        ],
    )
    def test_by_the_banks_reason(self, reason: str, code: str) -> None:
        verdict = read_status_report(report(batch=batch(named(KEY, "RJCT", reason, "No")))).verdict_on(KEY)
        assert verdict is not None
        outcome = verdict.declined()
        assert isinstance(outcome, Declined) and outcome.decline_code == code
        assert outcome.message == f"the bank rejected the transfer: {reason} No"
        assert outcome.is_retryable == DECLINES[code].is_retryable

    def test_without_a_reason(self) -> None:
        outcome = Verdict(Standing.REJECTED, "RJCT").declined()
        assert outcome.decline_code == "payout_declined"
        assert outcome.message == "the bank rejected the transfer: no reason given"

    def test_every_code_is_one_of_ours(self) -> None:
        assert set(DECLINE_CODES.values()) <= DECLINES.keys()
        assert all(re.fullmatch("[A-Z]{2}[A-Z0-9]{2}", code) for code in DECLINE_CODES)


class TestUnreadable:
    @pytest.mark.parametrize(
        "document",
        [
            b"",
            b"no xml",
            b"<Document/>",
            b"<CstmrPmtStsRpt/>",
            report().replace(b"<MsgId>REPORT-1</MsgId>", b""),
            report().replace(b"<OrgnlMsgId>MSG-1</OrgnlMsgId>", b""),
            report().decode().encode("utf-16"),
            b'<!DOCTYPE a [<!ENTITY b "c">]>' + report().partition(b"?>")[2].strip(),
            report()[:-20],
        ],
    )
    def test_is_refused(self, document: bytes) -> None:
        with pytest.raises(ReportUnreadable):
            read_status_report(document)
