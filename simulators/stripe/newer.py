"""What Stripe's present API knows and the document at hand does not.

The document is the one of API version 2020-08-27 as published in 2022; the official SDK sends a version of 2026. The
simulator answers as the newer versions do, and each difference that it makes use of stands here, with where Stripe
tells it. Nothing else may differ.
"""

from typing import Any, Final

BOOLEAN: Final = {"type": "boolean"}
TEXT: Final = {"type": "string", "maxLength": 5000}
MULTICAPTURE: Final = {"type": "string", "enum": ["if_available", "never"]}
REDIRECTS: Final = {"type": "string", "enum": ["always", "never"]}
AUTOMATIC: Final = {
    "type": "object",
    "properties": {"enabled": BOOLEAN, "allow_redirects": REDIRECTS},
    "required": ["enabled"],
}

PARAMETERS: Final[tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...]] = (
    # docs.stripe.com/payments/multicapture
    ("/v1/payment_intents/{intent}/capture", ("final_capture",), BOOLEAN),
    ("/v1/payment_intents/{intent}/capture", ("metadata",), {"type": "object", "additionalProperties": TEXT}),
    # changelog 2023-08-16: automatic_payment_methods[allow_redirects]
    ("/v1/payment_intents", ("automatic_payment_methods",), AUTOMATIC),
    ("/v1/setup_intents", ("automatic_payment_methods",), AUTOMATIC),
)
"""(path of a POST, where in its parameters, schema)."""

LATEST_CHARGE: Final = {
    "anyOf": [{"type": "string", "maxLength": 5000}, {"$ref": "#/components/schemas/charge"}],
    "nullable": True,
}
ANSWERS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    # changelog 2022-11-15: latest_charge in the place of charges
    ("payment_intent", "latest_charge", LATEST_CHARGE),
    # docs.stripe.com/payments/multicapture: payment_method_details.card.multicapture.status
    (
        "payment_method_details_card",
        "multicapture",
        {"type": "object", "properties": {"status": {"type": "string", "enum": ["available", "unavailable"]}}},
    ),
)
"""(component, property, schema)."""

NO_LONGER_REQUIRED: Final = (
    # changelog 2022-11-15: refunds of a charge only where they are expanded
    ("charge", "refunds"),
)
OPTIONAL_IN_QUERIES: Final = (
    # docs.stripe.com/api/payment_methods/list: `type` may be left out
    ("/v1/payment_methods", "type"),
    ("/v1/customers/{customer}/payment_methods", "type"),
)
"""(path of a GET, parameter)."""
GONE: Final = frozenset({("payment_intent", "charges"), ("charge", "refunds")})
"""(component, property): what newer versions do not answer any more."""


def amend(document: dict[str, Any]) -> None:
    """Bring the document up to date, in place."""
    for path, place, schema in PARAMETERS:
        properties = _parameters(document, path)
        for name in place[:-1]:
            properties = properties[name]["properties"]
        properties[place[-1]] = schema
    for options in _card_options(document):
        options["request_multicapture"] = MULTICAPTURE
    # docs.stripe.com/api/external_account_bank_accounts/create: external_account is a token or a dictionary
    accounts = _parameters(document, "/v1/accounts/{account}/external_accounts")
    accounts["external_account"] = {"anyOf": [TEXT, *accounts["bank_account"]["anyOf"]]}
    schemas = document["components"]["schemas"]
    for component, name, schema in ANSWERS:
        schemas[component]["properties"][name] = schema
    for component, name in NO_LONGER_REQUIRED:
        schemas[component]["required"].remove(name)
    for path, name in OPTIONAL_IN_QUERIES:
        for parameter in document["paths"][path]["get"]["parameters"]:
            parameter["required"] = parameter["required"] and parameter["name"] != name
    enum = schemas["payment_intent"]["properties"]["capture_method"]["enum"]
    enum.append("automatic_async")  # changelog 2024-04-10


def _parameters(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    properties: dict[str, Any] = content["schema"]["properties"]
    return properties


def _card_options(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The properties of payment_method_options[card] where intents are made and confirmed."""
    found = []
    for path in ("/v1/payment_intents", "/v1/payment_intents/{intent}", "/v1/payment_intents/{intent}/confirm"):
        card = _parameters(document, path)["payment_method_options"]["properties"]["card"]
        found += [branch["properties"] for branch in card["anyOf"] if "properties" in branch]
    return found
