"""How many people have to approve a refund: rules, of which the first that matches counts. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from bursar.domains.refunds.model import Reason
from bursar.infra.auth import ROLES
from bursar.kit import money

APPROVALS_MAX: Final = 2
RULES_MAX: Final = 1_000


class PolicyError(ValueError):
    """The one clear line about a policy that cannot be used."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is None matches everything. approvals: 0, 1 or 2 people. requesters: roles of whoever asks. max_amount: up
    to which it holds, included, in hundredths of the currency's main unit, whatever its exponent. name: shown to those
    who ask why.
    """

    approvals: int
    name: str | None = None
    reasons: frozenset[Reason] | None = None
    vendors: frozenset[str] | None = None
    currencies: frozenset[str] | None = None
    requesters: frozenset[str] | None = None
    max_amount: int | None = None


class Policy(msgspec.Struct, frozen=True):
    """The rules, and the reasons for which the platform keeps its commission."""

    rules: tuple[Rule, ...]
    keeps_commission: frozenset[Reason] = frozenset()


class Facts(msgspec.Struct, frozen=True):
    """A refund as rules see it. amount: minor units. vendors: those at whose expense it is; None stands for money that
    is no vendor's.
    """

    reason: Reason
    amount: int
    currency: str
    requesters: frozenset[str]
    vendors: tuple[str | None, ...] = (None,)


class Verdict(msgspec.Struct, frozen=True):
    """approvals: how many distinct people, none of them the requester. rule: which says so."""

    approvals: int
    rule: str


DEFAULT: Final = (
    Rule(name="asked for by a customer", requesters=frozenset({"customer"}), max_amount=100_000, approvals=1),
    Rule(name="up to 100 units of the currency", max_amount=10_000, approvals=0),
    Rule(name="up to 1,000 units of the currency", max_amount=100_000, approvals=1),
    Rule(name="above 1,000 units of the currency", approvals=2),
)

STRICTEST: Final = Verdict(APPROVALS_MAX, "no rule matches")


def decide(rules: Sequence[Rule], facts: Facts) -> Verdict:
    """How many approvals a refund needs: asked for each vendor whom it touches, the highest counts. Where no rule
    matches, two.
    """
    verdicts = [_of_vendor(rules, facts, vendor) for vendor in facts.vendors or (None,)]
    return max(verdicts, key=lambda verdict: verdict.approvals)


def _of_vendor(rules: Sequence[Rule], facts: Facts, vendor: str | None) -> Verdict:
    for number, rule in enumerate(rules, 1):
        if _matches(rule, facts, vendor):
            return Verdict(rule.approvals, rule.name or f"rule {number}")
    return STRICTEST


def _matches(rule: Rule, facts: Facts, vendor: str | None) -> bool:
    return (
        (rule.reasons is None or facts.reason in rule.reasons)
        and (rule.vendors is None or vendor in rule.vendors)
        and (rule.currencies is None or facts.currency in rule.currencies)
        and (rule.requesters is None or not facts.requesters.isdisjoint(rule.requesters))
        and (rule.max_amount is None or facts.amount * 100 <= rule.max_amount * 10 ** money.EXPONENTS[facts.currency])
    )


def load(text: str, keeps_commission: str = "") -> Policy:
    """The policy of a JSON list of rules, the default where `text` is empty. keeps_commission: reasons,
    comma-separated. Raises PolicyError.
    """
    return Policy(_rules(text) if text.strip() else DEFAULT, _reasons(keeps_commission))


def _rules(text: str) -> tuple[Rule, ...]:
    try:
        rules = msgspec.json.decode(text, type=tuple[Rule, ...])
    except msgspec.DecodeError as error:
        raise PolicyError(f"the refund policy cannot be read: {error}") from error
    if not 1 <= len(rules) <= RULES_MAX:
        raise PolicyError(f"the refund policy has 1 to {RULES_MAX} rules, not {len(rules)}")
    for number, rule in enumerate(rules, 1):
        fault = _fault(rule)
        if fault is not None:
            raise PolicyError(f"rule {number} of the refund policy: {fault}")
    return rules


def _fault(rule: Rule) -> str | None:
    if not 0 <= rule.approvals <= APPROVALS_MAX:
        return f"approvals is 0 to {APPROVALS_MAX}"
    if rule.max_amount is not None and rule.max_amount < 1:
        return "maxAmount is 1 or more"
    for name in ("reasons", "vendors", "currencies", "requesters"):
        if getattr(rule, name) is not None and not getattr(rule, name):
            return f"{name} names nothing, so it matches nothing; leave it away to match everything"
    unknown = sorted((rule.requesters or frozenset()) - ROLES)
    if unknown:
        return f"requesters names no role: {unknown[0]}"
    unknown = sorted(code for code in rule.currencies or () if not money.is_currency(code))
    return f"currencies names no currency: {unknown[0]}" if unknown else None


def _reasons(text: str) -> frozenset[Reason]:
    names = {name.strip() for name in text.split(",")} - {""}
    unknown = sorted(names - set(Reason))
    if unknown:
        raise PolicyError(f"no reason for a refund: {unknown[0]}")
    return frozenset(Reason(name) for name in names)
