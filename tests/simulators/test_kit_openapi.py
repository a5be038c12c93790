"""How requests and answers are held against an OpenAPI document."""

from pathlib import Path
from typing import Any

import pytest

from simulators.kit import forms, openapi
from simulators.kit.message import Answer, Request
from simulators.kit.openapi import Document
from simulators.kit.schemas import Schemas, Side
from simulators.stripe import fixtures

OWNER: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SCHEMAS: dict[str, Any] = {
    "owner": OWNER,
    "thing": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "readOnly": True},
            "secret": {"type": "string", "writeOnly": True},
            "kind": {"type": "string", "enum": ["a", "b"], "nullable": True},
            "owner": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/owner"}], "nullable": True},
            "parent": {"allOf": [{"$ref": "#/components/schemas/owner"}], "nullable": True},
        },
        "required": ["id", "secret"],
    },
}
FIELDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "flag": {"type": "boolean"},
        "rate": {"type": "number"},
        "amounts": {"type": "array", "items": {"type": "integer"}},
        "when": {"anyOf": [{"type": "object", "properties": {"gte": {"type": "integer"}}}, {"type": "integer"}]},
        "note": {"anyOf": [{"type": "integer"}, {"type": "string", "enum": [""]}]},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


class TestForms:
    @pytest.mark.parametrize(
        "text, decoded",
        [
            ("a=1&b=", {"a": "1", "b": ""}),
            ("card[number]=42&card[exp][year]=30", {"card": {"number": "42", "exp": {"year": "30"}}}),
            ("expand[1]=b&expand[0]=a", {"expand": ["a", "b"]}),
            ("expand[]=a&expand[]=b", {"expand": ["a", "b"]}),
            ("lines[0][price]=5&lines[1][price]=6", {"lines": [{"price": "5"}, {"price": "6"}]}),
            ("metadata[a%20b]=x%26y", {"metadata": {"a b": "x&y"}}),
        ],
    )
    def test_decode(self, text: str, decoded: dict[str, Any]) -> None:
        assert forms.decode(text) == decoded

    @pytest.mark.parametrize("text", ["a[b=1", "a]b[=1", "a[b]c=1", "a=1&a[b]=2", "a[b][c][d][e][f][g][h][i]=1"])
    def test_refuses(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"name|group"):
            forms.decode(text)

    @pytest.mark.parametrize(
        "text, typed",
        [
            ("amount=-5&flag=true&rate=1.5", {"amount": -5, "flag": True, "rate": 1.5}),
            ("amount=much&flag=yes", {"amount": "much", "flag": "yes"}),
            ("amounts[0]=32&amounts[1]=45", {"amounts": [32, 45]}),
            ("when[gte]=7", {"when": {"gte": 7}}),
            ("when=7", {"when": 7}),
            ("note=&metadata[0]=7", {"note": "", "metadata": {"0": "7"}}),
        ],
    )
    def test_are_typed_by_the_schema(self, text: str, typed: dict[str, Any]) -> None:
        assert Schemas({}, Side.REQUEST).coerce(forms.decode(text), FIELDS) == typed


class TestSchemas:
    @pytest.mark.parametrize(
        "change, rules",
        [
            ({}, []),
            ({"kind": None, "owner": None, "parent": None}, []),
            ({"kind": "c"}, ["enum"]),
            ({"owner": {"name": "x"}}, []),
            ({"owner": {"name": 5}}, ["anyOf"]),
            ({"parent": {}}, ["anyOf"]),
        ],
    )
    @pytest.mark.parametrize("side, needed", [(Side.ANSWER, "id"), (Side.REQUEST, "secret")])
    def test_nullable_and_one_sided_properties(self, side: Side, needed: str, change: Any, rules: list[str]) -> None:
        validator = Schemas({"components": {"schemas": SCHEMAS}}, side).validator(SCHEMAS["thing"])
        assert [error.validator for error in validator.iter_errors({needed: "x", **change})] == rules
        assert {error.validator for error in validator.iter_errors(change)} == {"required", *rules}

    def test_closed_ones_refuse_invented_names(self) -> None:
        document = {"components": {"schemas": SCHEMAS}}
        validator = Schemas(document, Side.ANSWER, is_closed=True).validator(SCHEMAS["thing"])
        assert [error.validator for error in validator.iter_errors({"id": "x", "idd": "x"})] == ["additionalProperties"]


def documents() -> list[Path]:
    return sorted([*openapi.DATA.glob("paypal/*.json"), *openapi.DATA.glob("stripe/spec3.json.gz")])


@pytest.mark.skipif(not documents(), reason="../shared/data/openapi is absent")
class TestDocuments:
    @pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
    def test_every_operation_can_be_checked(self, path: Path) -> None:
        spec = openapi.read(path)
        document = Document([spec])
        for template, item in spec["paths"].items():
            for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
                operation = document.operation(method.upper(), template)
                assert operation is not None
                request = Request(method.upper(), template, {}, b"", {"surely_unknown": "1"}, {}, "http://x", 0)
                rules = [violation.rule for violation in operation.check_request(request)]
                assert "additionalProperties" in rules
                assert isinstance(operation.check_answer(Answer(200, {"surely": "wrong"})), list)

    def test_parameters_may_have_other_names_in_a_route(self) -> None:
        document, _ = fixtures.load()
        assert document is not None
        assert document.operation("GET", "/v1/refunds/{any}") is not None
        assert document.operation("GET", "/v1/refunds/{any}/other") is None
