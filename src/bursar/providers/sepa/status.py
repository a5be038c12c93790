"""Status reports: what a bank says of a pain.001 file, as a whole and transfer by transfer (pain.002, any version).

Source: ISO 20022 pain.002, external code sets ExternalPaymentTransactionStatus1Code and ExternalStatusReason1Code.
"""

import xml.etree.ElementTree as ElementTree
from enum import StrEnum
from typing import Final

import msgspec

from bursar.providers.declines import declined
from bursar.providers.port import Declined
from bursar.providers.sepa.text import key_of

DOCUMENT_SIZE_MAX: Final = 64 * 1024 * 1024


class Standing(StrEnum):
    """ACCEPTED: the bank is going to pay. SETTLED: it has. PENDING: it does not say yet."""

    ACCEPTED = "ACCEPTED"
    SETTLED = "SETTLED"
    PENDING = "PENDING"
    REJECTED = "REJECTED"


STANDINGS: Final[dict[str, Standing]] = {
    "RCVD": Standing.PENDING,
    "PDNG": Standing.PENDING,
    "PART": Standing.PENDING,
    "ACTC": Standing.ACCEPTED,
    "ACCP": Standing.ACCEPTED,
    "ACWC": Standing.ACCEPTED,
    "ACSP": Standing.ACCEPTED,
    "ACSC": Standing.SETTLED,
    "ACCC": Standing.SETTLED,
    "RJCT": Standing.REJECTED,
    "CANC": Standing.REJECTED,
}
"""By the bank's status code; any other says nothing yet, and is PENDING."""

DECLINE_CODES: Final[dict[str, str]] = {
    # the payee's account
    "AC01": "invalid_account_number",
    "AC03": "invalid_account_number",
    "AC04": "account_closed",
    "AC06": "account_frozen",
    "AC07": "account_closed",
    "AC14": "payout_declined",
    "BE01": "payout_declined",
    "BE04": "payout_declined",
    "MD07": "account_frozen",
    # the payee's bank
    "AGNT": "invalid_routing_number",
    "CNOR": "invalid_routing_number",
    "RC01": "invalid_routing_number",
    "RC03": "invalid_routing_number",
    "RC04": "invalid_routing_number",
    # the transfer
    "AG01": "payout_declined",
    "AM01": "amount_too_small",
    "AM02": "amount_too_large",
    "AM03": "currency_not_supported",
    "AM04": "provider_balance_insufficient",
    "AM05": "duplicate_transaction",
    "AM06": "amount_too_small",
    "AM14": "amount_too_large",
    "DUPL": "duplicate_transaction",
    "FRAD": "fraudulent",
    "RF01": "duplicate_transaction",
    # the bank's or the network's trouble, and the file's
    "AC02": "processing_error",
    "AG02": "processing_error",
    "AM09": "processing_error",
    "AM10": "processing_error",
    "DT01": "processing_error",
    "ED05": "processing_error",
    "FF01": "processing_error",
    "TECH": "processing_error",
    "TM01": "processing_error",
    "AB05": "bank_unavailable",
    "AB06": "bank_unavailable",
    "AB08": "bank_unavailable",
}
"""By the bank's reason code; any other is `payout_declined`."""


class Verdict(msgspec.Struct, frozen=True):
    """What the bank says. code: its status code. reason_code, reason: why, where it says."""

    standing: Standing
    code: str
    reason_code: str | None = None
    reason: str = ""

    def declined(self) -> Declined:
        """The outcome of a transfer that was rejected."""
        assert self.standing is Standing.REJECTED
        told = " ".join(part for part in (self.reason_code, self.reason) if part) or "no reason given"
        return declined(
            DECLINE_CODES.get(self.reason_code or "", "payout_declined"), f"the bank rejected the transfer: {told}"
        )


class StatusReport(msgspec.Struct, frozen=True):
    """A report on the file `original_message_id`. file: the verdict on all of it, where there is one. transfers: by
    our key, those that the bank names.
    """

    message_id: str
    original_message_id: str
    file: Verdict | None
    transfers: dict[str, Verdict]

    def verdict_on(self, key: str) -> Verdict | None:
        """What is said of a transfer of that file: by itself, else with the whole file; None: nothing.

        Of a file that is accepted in part (PART) nothing is said of transfers that are not named.
        """
        return self.transfers.get(key) or self.file


class ReportUnreadable(Exception):  # noqa: N818  what came from outside is no report
    """The document is no pain.002 that says which file it is about."""


def read_status_report(document: bytes) -> StatusReport:
    """Read a pain.002 document in UTF-8. Raises ReportUnreadable."""
    root = _parse(document)
    report = next((child for child in root if _name(child) == "CstmrPmtStsRpt"), None)
    if _name(root) != "Document" or report is None:
        raise ReportUnreadable("no customer payment status report")
    message_id = _text(report, "GrpHdr/MsgId")
    original = _text(report, "OrgnlGrpInfAndSts/OrgnlMsgId")
    if not message_id or not original:
        raise ReportUnreadable("it does not say which file it is about")
    group = _find(report, "OrgnlGrpInfAndSts")
    file = None if group is None else _verdict(group, "GrpSts")
    batches = [child for child in report if _name(child) == "OrgnlPmtInfAndSts"]
    is_rejected = file is not None and file.standing is Standing.REJECTED
    if len(batches) == 1 and not is_rejected:  # a file of ours has one, of which a bank says more than of the file
        file = _verdict(batches[0], "PmtInfSts") or file
    transfers: dict[str, Verdict] = {}
    for batch in batches:
        of_batch = _verdict(batch, "PmtInfSts") or file
        for named in batch:
            end_to_end = _text(named, "OrgnlEndToEndId")
            verdict = _verdict(named, "TxSts") or of_batch
            if _name(named) == "TxInfAndSts" and end_to_end and verdict is not None:
                transfers[key_of(end_to_end)] = verdict
    return StatusReport(message_id, original, file, transfers)


def _verdict(node: ElementTree.Element, name: str) -> Verdict | None:
    code = _text(node, name)
    if not code:
        return None
    texts = [child.text or "" for info in _all(node, "StsRsnInf") for child in _all(info, "AddtlInf")]
    reason_code = _text(node, "StsRsnInf/Rsn/Cd") or _text(node, "StsRsnInf/Rsn/Prtry") or None
    return Verdict(STANDINGS.get(code, Standing.PENDING), code, reason_code, " ".join(texts).strip())


def _parse(document: bytes) -> ElementTree.Element:
    """The document's root. A document type is refused, and with it every entity that could grow or reach outside."""
    if len(document) > DOCUMENT_SIZE_MAX:
        raise ReportUnreadable(f"more than {DOCUMENT_SIZE_MAX} bytes")
    try:
        text = document.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise ReportUnreadable("a document type is not taken")
        return ElementTree.fromstring(text)  # noqa: S314  without a document type there are no entities
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise ReportUnreadable(f"no XML in UTF-8: {error}") from error


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def _all(node: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in node if _name(child) == name]


def _find(node: ElementTree.Element, path: str) -> ElementTree.Element | None:
    found: ElementTree.Element | None = node
    for name in path.split("/"):
        found = next(iter(_all(found, name)), None) if found is not None else None
    return found


def _text(node: ElementTree.Element, path: str) -> str:
    found = _find(node, path)
    return (found.text or "").strip() if found is not None else ""
