"""What comes as a settlement file: who may bring it, how it is told apart, and what becomes of one that is none."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Serve
from tests.domains.reconciliations.test_formats import ENTRY, PAYPAL, document
from tests.support.api import fields_of, json_of, problem_of
from tests.support.reconciliations import (
    FEES,
    PATH,
    Bookkeeper,
    captured,
    counts,
    fee_of,
    payout,
    row_of,
    stripe_csv,
    verify_books,
)
from tests.support.stripe import shop

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SIZE_MAX = 20 * 1024 * 1024
FILE = stripe_csv([payout(1, 500, NOON)])


@pytest.fixture
async def ann(serve: Serve) -> AsyncIterator[Bookkeeper]:
    async with serve(provider_fees=FEES) as service:
        yield Bookkeeper(service)
        await verify_books(service)


class TestBringing:
    @pytest.mark.parametrize(
        "roles, status",
        [(("finance",), 202), (("admin",), 202), (("service",), 202), (("support",), 403), (("risk",), 403)],
    )
    async def test_who_may_bring_one(self, ann: Bookkeeper, roles: tuple[str, ...], status: int) -> None:
        ann.api = ann.service.api.as_(*roles)
        assert (await ann.bring(FILE)).status_code == status

    async def test_customers_and_vendors_see_nothing(self, ann: Bookkeeper) -> None:
        for api in (ann.service.api.as_("customer", customer_id="c-1"), ann.service.api.as_("vendor", vendorId="v-1")):
            problem_of(await api.get(PATH), 403, "forbidden")

    async def test_a_file_of_megabytes_is_taken_up_to_the_limit(self, ann: Bookkeeper) -> None:
        line = FILE.splitlines(keepends=True)[1]
        padded = FILE + line.replace(b"txn_po_1", b"txn_po_2").rstrip(b"\n")
        large = padded + b" " * (5 * 1024 * 1024 - len(padded))
        taken = json_of(await ann.bring(large, content_type="application/octet-stream"), 202)
        assert taken["fileSize"] == 5 * 1024 * 1024
        problem_of(await ann.bring(b"x" * (SIZE_MAX + 1)), 413, "body_too_large")

    async def test_other_routes_keep_their_limit(self, ann: Bookkeeper) -> None:
        body = {"explanation": "x" * 300_000}
        problem_of(await ann.api.call("POST", f"{PATH}/x/items/y/explain", body), 413, "body_too_large")

    async def test_other_types_of_body_are_refused(self, ann: Bookkeeper) -> None:
        problem_of(await ann.bring(FILE, content_type="text/plain"), 415, "unsupported_media_type")

    async def test_what_shows_no_format_is_refused(self, ann: Bookkeeper) -> None:
        assert fields_of(await ann.bring(b"date,amount\n")) == {"format"}
        assert fields_of(await ann.bring(b"")) == {"body"}

    @pytest.mark.parametrize(
        "query, field",
        [
            ({"provider": "nobody"}, "provider"),
            ({"provider": "NO"}, "provider"),
            ({"format": "XLS"}, "format"),
            ({"format": "PROVIDER_REPORT"}, "body"),
            ({"from": "2026-03-02T00:00:00Z", "until": "2026-03-02T00:00:00Z"}, "body"),
            ({"account": "Main!"}, "account"),
            ({"colour": "red"}, "colour"),
        ],
    )
    async def test_a_query_that_cannot_be(self, ann: Bookkeeper, query: dict[str, str], field: str) -> None:
        assert fields_of(await ann.bring(FILE, **query)) == {field}

    async def test_a_provider_that_is_not_said_is_the_formats(self, ann: Bookkeeper) -> None:
        assert fields_of(await ann.bring(FILE, provider="")) == {"provider"}

    async def test_a_file_of_one_provider_is_not_anothers(self, ann: Bookkeeper) -> None:
        done = await ann.reconcile(document(ENTRY).encode(), provider="", account="first")
        refused = await ann.bring(document(ENTRY).encode(), provider="", account="second")
        assert problem_of(refused, 409, "settlement_file_known")["reconciliationId"] == done["id"]

    async def test_an_idempotency_key_replays_the_answer(self, ann: Bookkeeper) -> None:
        path, headers = f"{PATH}?provider=sandbox", {"content-type": "text/csv"}
        first = await ann.api.call("POST", path, FILE, key="file-1", headers=headers)
        again = await ann.api.call("POST", path, FILE, key="file-1", headers=headers)
        assert (first.status_code, again.status_code) == (202, 202) and again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"


class TestUnreadable:
    async def test_a_bad_line_fails_the_whole_file_and_nothing_is_booked(self, ann: Bookkeeper) -> None:
        bad = FILE + b"txn_2,2026-03-02 10:00:00,,eur,1.001,0,1.001,charge,ch_1,,pi_1\n"
        failed = await ann.reconcile(bad)
        assert failed["status"] == "FAILED"
        assert failed["errors"] == [{"line": 3, "reason": "1.001 is no whole number of minor units of EUR"}]
        assert counts(failed) == {} and await ann.balances() == {}
        assert json_of(await ann.api.get(f"{PATH}/{failed['id']}/items"), 200)["data"] == []

    async def test_brought_again_it_is_taken_up_again(self, ann: Bookkeeper) -> None:
        failed = await ann.reconcile(FILE, format="CAMT_053", provider="", account="main")
        assert failed["status"] == "FAILED"
        problem_of(await ann.bring(FILE), 409, "settlement_file_known")
        again = json_of(await ann.bring(FILE, format="CAMT_053", provider=""), 202)
        assert (again["id"], again["status"], again["errors"]) == (failed["id"], "RECEIVED", [])
        await ann.service.run_jobs()
        assert (await ann.show(failed["id"]))["status"] == "FAILED"

    @pytest.mark.parametrize("encoding", ["shift_jis", "bogus"])
    async def test_an_encoding_that_is_not_taken_fails_it_at_once(self, ann: Bookkeeper, encoding: str) -> None:
        failed = await ann.reconcile(document(ENTRY).replace("UTF-8", encoding).encode(), provider="")
        assert failed["status"] == "FAILED" and "encoding" in failed["errors"][0]["reason"]

    async def test_a_file_without_rows_says_nothing_of_a_period(self, ann: Bookkeeper) -> None:
        empty = stripe_csv([])
        assert (await ann.reconcile(empty))["errors"][0]["reason"].startswith("no rows")
        period = {"from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}
        again = json_of(await ann.bring(empty, **period), 202)
        await ann.service.run_jobs()
        assert (await ann.show(again["id"]))["status"] == "COMPLETED"


class TestPayouts:
    async def test_whose_ids_read_alike_are_both_booked(self, ann: Bookkeeper) -> None:
        names = (("a:b", "c"), ("a", "b:c"))
        alike = [payout(1, 500, NOON)._replace(id=row_id, source=source) for row_id, source in names]
        done = await ann.reconcile(stripe_csv(alike))
        assert (done["status"], counts(done)) == ("COMPLETED", {"MATCHED": 2})


class TestPayPal:
    async def test_a_settlement_report_is_matched_by_our_key(self, ann: Bookkeeper) -> None:
        at = datetime(2026, 3, 2, 8, 5, tzinfo=UTC)
        (capture,) = await captured(ann.service, [1999], at=at, currency="USD")
        (row,) = await ann.service.fetch("select reference from journals")
        key = row["reference"].removeprefix("capture:")
        done = await ann.reconcile(PAYPAL.replace("key-1", key).encode())
        assert (done["format"], done["from"]) == ("PAYPAL_CSV", "2026-03-02T08:00:00Z")
        assert counts(done) == {"MATCHED": 2, "STATUS": 1}
        (matched,) = [item for item in await ann.items(done["id"], kind="MATCHED") if item["movement"] == "CHARGE"]
        assert matched["paymentId"] == capture.payment_id
        balances = await ann.balances()
        assert balances["provider:sandbox:clearing", "USD"] == 1999 - 88 - 500 + 15
        assert balances["bank:main", "HUF"] == 120_000


class TestBank:
    async def test_a_payout_arrives_at_the_bank(self, ann: Bookkeeper) -> None:
        at = ann.service.clock.now()
        await ann.reconcile(stripe_csv([payout(1, 1234, at), payout(2, 700, at)]), account="first")
        credit = ENTRY.replace("DBIT", "CRDT").replace("2026-03-02", f"{at:%Y-%m-%d}")
        strange = credit.replace("12.34", "9.99").replace("po_1", "other").replace("po_2", "more")
        content = document(f"{credit}</Ntry>\n<Ntry>{strange}").encode()
        period = {
            name: f"{at + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for name, days in (("from", -1), ("until", 1))
        }
        done = await ann.reconcile(content, provider="", account="first", **period)
        assert (done["account"], done["format"], done["provider"]) == ("bank:first", "CAMT_053", None)
        assert counts(done) == {"MATCHED": 1, "MISSING_WITH_US": 1, "MISSING_WITH_THEM": 1}
        balances = await ann.balances()
        assert balances["bank:first", "EUR"] == 1234 + 999
        assert balances["suspense", "EUR"] == 700 - 999


class TestReports:
    async def test_a_provider_is_asked_for_its_own_account(self, serve: Serve) -> None:
        async with shop(serve) as at:
            method = await at.card()
            payments = [await at.payment(method, amount=amount) for amount in (1_000, 2_000)]
            for payment in payments:
                json_of(await at.api.authorize(payment["id"]), 200)
                json_of(await at.api.capture(payment["id"]), 200)
            ann = Bookkeeper(at.service)
            since = at.service.clock.now() - timedelta(hours=1)
            at.service.clock.advance(minutes=5)
            body = {"provider": "stripe", "from": since, "until": at.service.clock.now()}
            begun = json_of(await ann.api.call("POST", PATH, body), 202)
            assert (begun["format"], begun["fileDigest"]) == ("PROVIDER_REPORT", None)
            await at.service.run_jobs()
            done = await ann.show(begun["id"])
            assert counts(done) == {"MATCHED": 2}
            assert {item["paymentId"] for item in await ann.items(done["id"])} == {p["id"] for p in payments}
            assert (await ann.balances())["provider:stripe:clearing", "EUR"] == done["totals"][0]["net"]
            again = json_of(await ann.api.call("POST", PATH, body), 202)
            await at.service.run_jobs()
            assert counts(await ann.show(again["id"])) == {"REPEATED": 2}
            await verify_books(at.service)

    @pytest.mark.parametrize(
        "changes, status, code",
        [
            ({}, 409, "no_provider_report"),
            ({"provider": "nobody"}, 422, "validation_failed"),
            ({"until": "2026-03-01T00:00:00Z"}, 422, "validation_failed"),
            ({"until": "2999-03-01T00:00:00Z"}, 422, "validation_failed"),
            ({"from": None}, 422, "validation_failed"),
        ],
    )
    async def test_what_cannot_be_asked(self, ann: Bookkeeper, changes: dict[str, Any], status: int, code: str) -> None:
        body = {"provider": "sandbox", "from": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z", **changes}
        response = await ann.api.call("POST", PATH, {name: value for name, value in body.items() if value})
        problem_of(response, status, code)


class TestLists:
    async def test_are_paged_and_filtered(self, ann: Bookkeeper) -> None:
        for number in range(1, 6):
            await ann.reconcile(stripe_csv([payout(number, 100 * number, NOON)]))
        first = json_of(await ann.api.get(PATH, limit=2), 200)
        rest = json_of(await ann.api.get(PATH, limit=100, cursor=first["nextCursor"]), 200)
        assert [len(first["data"]), len(rest["data"]), rest["hasMore"]] == [2, 3, False]
        assert len(json_of(await ann.api.get(PATH, status="COMPLETED"), 200)["data"]) == 5
        assert json_of(await ann.api.get(PATH, status="FAILED"), 200)["data"] == []

    async def test_items_are_paged_and_filtered(self, ann: Bookkeeper) -> None:
        at = (ann.service.clock.now() - timedelta(days=1)).replace(hour=12)
        captures = await captured(ann.service, [1000] * 7, at=at)
        rows = [row_of(capture) for capture in captures]
        rows[3] = rows[3].changed(fee=fee_of(1000) + 5)
        done = await ann.reconcile(stripe_csv(rows))
        page = json_of(await ann.api.get(f"{PATH}/{done['id']}/items", limit=3), 200)
        assert len(page["data"]) == 3 and page["hasMore"]
        assert len(await ann.items(done["id"])) == 7
        (wrong,) = await ann.items(done["id"], kind="FEE")
        assert (wrong["theirs"]["line"], wrong["theirs"]["fee"], wrong["ours"]["fee"]) == (5, 64, 59)
        shown = await ann.api.get(f"{PATH}/{done['id']}/items/{wrong['id']}")
        assert json_of(shown, 200) == wrong and shown.headers["etag"] == '"1"'
