"""Stripe's own fixtures as templates, and its document, brought up to date."""

from functools import cache
from pathlib import Path
from typing import Any, Final

from simulators.kit import openapi
from simulators.kit.openapi import Document
from simulators.stripe import newer
from simulators.stripe.world import Object

FOLDER: Final = openapi.DATA / "stripe"
KINDS: Final = (
    "balance_transaction", "bank_account", "charge", "customer", "dispute", "event", "payment_intent",
    "payment_method", "payout", "radar.early_fraud_warning", "refund", "setup_intent", "transfer", "transfer_reversal",
)  # fmt: skip


@cache
def load(folder: Path = FOLDER) -> tuple[Document | None, dict[str, Object]]:
    """The document and the templates by kind, read once; (None, {}) and one line where they are absent."""
    places = [folder / "spec3.json.gz", folder / "fixtures3.json.gz"]
    for place in places:
        if not place.is_file():
            print(f"{place} is absent: requests and answers are not checked")  # noqa: T201
            return None, {}
    spec, resources = openapi.read(places[0]), openapi.read(places[1])["resources"]
    newer.amend(spec)
    return Document([spec], is_closed=True), {kind: _template(kind, spec, resources) for kind in KINDS}


def _template(kind: str, spec: dict[str, Any], resources: dict[str, Object]) -> Object:
    """Null where the document allows it, else what the fixture has; nothing that the document does not name."""
    schema = spec["components"]["schemas"][kind]
    fixture = resources[kind]
    template: Object = {}
    for name, inner in schema["properties"].items():
        if (kind, name) in newer.GONE:
            continue
        if inner.get("nullable"):
            template[name] = None
        elif name in fixture:
            template[name] = _pruned(fixture[name], inner, spec)
    if "metadata" in template:
        template["metadata"] = {}
    return template


def _pruned(value: Any, schema: dict[str, Any], spec: dict[str, Any]) -> Any:
    """Without the properties that the document does not name."""
    if "$ref" in schema:
        return _pruned(value, spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]], spec)
    for branch in schema.get("anyOf", ()):
        if "$ref" in branch and isinstance(value, dict):
            return _pruned(value, branch, spec)
    properties = schema.get("properties")
    if not isinstance(value, dict) or properties is None:
        return value
    return {name: _pruned(inner, properties[name], spec) for name, inner in value.items() if name in properties}
