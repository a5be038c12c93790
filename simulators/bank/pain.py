"""pain.001 as this bank reads it, and pain.002 as it writes it."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from simulators.bank.nacha import Refused

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"


class Transfer(msgspec.Struct, frozen=True):
    """A credit transfer as it came. amount: cents."""

    message_id: str
    end_to_end_id: str
    iban: str
    amount: int
    execution_on: date


class Verdict(msgspec.Struct, frozen=True):
    """What is said of a transfer. status: ACSC or RJCT. reason: of a rejection."""

    transfer: Transfer
    status: str
    reason: str = ""


def read(text: str) -> tuple[str, list[Transfer]]:
    """The message's id, and its transfers. Raises Refused."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  a stand-in, which only tests talk to
    except ElementTree.ParseError as error:
        raise Refused(f"line {error.position[0]}: no XML") from error
    if root.tag != f"{{{NAMESPACE}}}Document":
        raise Refused(f"line 1: {root.tag} is no pain.001.001.09")
    message_id = _text(root, "CstmrCdtTrfInitn/GrpHdr/MsgId")
    transfers = []
    for payment in _all(root, "CstmrCdtTrfInitn/PmtInf"):
        day = _text(payment, "ReqdExctnDt/Dt")
        for node in _all(payment, "CdtTrfTxInf"):
            amount = Decimal(_text(node, "Amt/InstdAmt"))
            transfers.append(
                Transfer(
                    message_id=message_id,
                    end_to_end_id=_text(node, "PmtId/EndToEndId"),
                    iban=_text(node, "CdtrAcct/Id/IBAN"),
                    amount=int(amount * 100),
                    execution_on=date.fromisoformat(day),
                )
            )
    count, total = _text(root, "CstmrCdtTrfInitn/GrpHdr/NbOfTxs"), _text(root, "CstmrCdtTrfInitn/GrpHdr/CtrlSum")
    if int(count) != len(transfers) or int(Decimal(total) * 100) != sum(transfer.amount for transfer in transfers):
        raise Refused(f"line 1: the header says {count} transfers of {total} together")
    return message_id, transfers


def write(message_id: str, verdicts: Iterable[Verdict], *, report_id: str, at: datetime) -> str:
    """A status report on transfers of one message."""
    told = "".join(map(_told, verdicts))
    original = f"<OrgnlMsgId>{escape(message_id)}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>'
        f"<GrpHdr><MsgId>{report_id}</MsgId><CreDtTm>{at:%Y-%m-%dT%H:%M:%SZ}</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts>{original}<GrpSts>PART</GrpSts></OrgnlGrpInfAndSts>"
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{escape(message_id)}</OrgnlPmtInfId>{told}</OrgnlPmtInfAndSts>"
        "</CstmrPmtStsRpt></Document>\n"
    )


def _told(verdict: Verdict) -> str:
    reason = f"<StsRsnInf><Rsn><Cd>{verdict.reason}</Cd></Rsn></StsRsnInf>" if verdict.reason else ""
    identifier = escape(verdict.transfer.end_to_end_id)
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{identifier}</OrgnlEndToEndId><TxSts>{verdict.status}</TxSts>{reason}"
        "</TxInfAndSts>"
    )


def _all(node: ElementTree.Element, path: str) -> list[ElementTree.Element]:
    return node.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))


def _text(node: ElementTree.Element, path: str) -> str:
    found = _all(node, path)
    if not found or not (found[0].text or "").strip():
        raise Refused(f"line 1: {path} is missing")
    return (found[0].text or "").strip()
