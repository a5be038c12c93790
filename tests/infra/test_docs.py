"""The generated pages and the OpenAPI document."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from bursar import app, wiring
from bursar.cli.docs import FOLDER, PAGES, openapi, states, write_docs
from bursar.domains.payments.model import PUBLIC, Status
from bursar.infra.http.route import LeanRoute
from bursar.providers.sandbox.methods import METHODS

HEADERS = {"IdempotencyKey", "IfMatch", "Prefer"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(openapi())
    return made


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: {**operation, "path": path, "method": method}
        for path, by_method in document["paths"].items()
        for method, operation in by_method.items()
    }


def referred(operation: dict[str, Any]) -> set[str]:
    """The names of the shared parameters that an operation takes."""
    return {
        parameter["$ref"].rpartition("/")[2] for parameter in operation.get("parameters", []) if "$ref" in parameter
    }


class TestOpenApi:
    def test_is_valid(self, document: dict[str, Any]) -> None:
        faults = [
            f"{list(fault.instance_path)}: {fault.message}" for fault in OPENAPI_31_VALIDATOR.iter_errors(document)
        ]
        assert faults == []

    def test_every_reference_leads_somewhere(self, document: dict[str, Any]) -> None:
        for reference in re.findall(r'"\$ref": "#/([^"]+)"', openapi()):
            place: Any = document
            for step in reference.split("/"):
                place = place[step]

    def test_every_component_is_used(self, document: dict[str, Any]) -> None:
        text = openapi()
        unused = [
            f"{kind}/{name}"
            for kind in ("schemas", "responses", "parameters", "headers")
            for name in document["components"][kind]
            if f'"#/components/{kind}/{name}"' not in text
        ]
        assert unused == []

    def test_has_every_route(self, document: dict[str, Any]) -> None:
        routes = {(route.path, method) for route in app.lean_routes() for method in route.methods or ()}
        assert routes == {(path, method.upper()) for path, found in document["paths"].items() for method in found}

    def test_operation_ids_are_names(self, document: dict[str, Any]) -> None:
        found = operations(document)
        assert len(found) == sum(len(by_method) for by_method in document["paths"].values())
        assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in found)

    def test_every_operation_is_described(self, document: dict[str, Any]) -> None:
        assert [name for name, operation in operations(document).items() if not operation.get("description")] == []

    def test_a_token_is_asked_for_wherever_one_is_needed(self, document: dict[str, Any]) -> None:
        public = {route.path for router in wiring.ROUTERS for route in router.routes if _is_public(route)}
        assert document["security"] == [{"bearer": []}]
        for operation in operations(document).values():
            takes_none = {} in operation.get("security", [{"bearer": []}]) or operation.get("security") == []
            assert takes_none is (operation["path"] in public)

    def test_problems_are_documented(self, document: dict[str, Any]) -> None:
        for operation in operations(document).values():
            assert {"500", "503"} <= operation["responses"].keys()
            if operation.get("security") != []:
                assert {"401", "403", "429"} <= operation["responses"].keys()
        for response in document["components"]["responses"].values():
            assert list(response["content"]) == ["application/problem+json"]

    def test_writes_take_the_headers_that_they_read(self, document: dict[str, Any]) -> None:
        found = operations(document)
        assert referred(found["createPayment"]) == {"IdempotencyKey"}
        assert referred(found["capturePayment"]) == HEADERS
        assert referred(found["updatePayment"]) == {"IdempotencyKey", "IfMatch"}
        assert referred(found["reviewFraudCheck"]) == {"IdempotencyKey", "IfMatch"}
        assert not any(referred(operation) for operation in found.values() if operation["method"] == "get")

    def test_what_may_be_unknown_answers_202(self, document: dict[str, Any]) -> None:
        for operation in operations(document).values():
            if "Prefer" in referred(operation):
                assert {"200", "202"} <= operation["responses"].keys()

    def test_a_body_is_required_where_a_field_is(self, document: dict[str, Any]) -> None:
        found = operations(document)
        assert found["createPayment"]["requestBody"]["required"] is True
        assert found["capturePayment"]["requestBody"]["required"] is False


class TestPages:
    def test_are_fresh(self) -> None:
        assert write_docs(check=True) == [], "run script/bursar docs"

    def test_say_that_they_are_generated(self) -> None:
        for name in PAGES:
            assert "Generated by `script/bursar docs`" in (FOLDER / name).read_text()[:200]

    def test_stale_ones_are_found_and_written(self, tmp_path: Path) -> None:
        assert len(write_docs(check=True, folder=tmp_path)) == len(PAGES)
        assert list(tmp_path.iterdir()) == []
        write_docs(check=False, folder=tmp_path)
        assert write_docs(check=True, folder=tmp_path) == []
        (tmp_path / "errors.md").write_text("something else")
        assert write_docs(check=True, folder=tmp_path) == ["docs/errors.md"]
        assert write_docs(check=False, folder=tmp_path) == ["docs/errors.md"]
        assert write_docs(check=True, folder=tmp_path) == []

    def test_states_show_what_callers_see(self) -> None:
        page = states()
        for status in Status:
            assert f"| `{status}` | `{PUBLIC[status]}` |" in page

    def test_the_sandbox_shows_every_method(self) -> None:
        page = PAGES["sandbox.md"]()
        assert [method_id for method_id in METHODS if f"| `{method_id}` |" not in page] == []
        assert (
            "| `pm_sandbox_timeout_before_effect` | not done, and the answer is lost | Unknown (Unavailable) |" in page
        )


def _is_public(route: Any) -> bool:
    return isinstance(route, LeanRoute) and route.is_public
