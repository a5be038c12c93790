"""Settings: what cannot be used shows at the start, and every process gets what was meant."""

import asyncio
import socket
from typing import Any

import pytest

from bursar import assembly
from bursar.app import run_worker
from bursar.settings import Settings, SettingsError, described, from_environment, inherited
from tests.conftest import Serve

ABSURD = [
    ("DATABASE_POOL_SIZE", "1"),
    ("DATABASE_POOL_SIZE", "-5"),
    ("PORT", "0"),
    ("PORT", "70000"),
    ("LOG_LEVEL", "info"),
    ("LOG_LEVEL", ""),
    ("DATA_DIR", ""),
    ("BODY_SIZE_MAX", "0"),
    ("RATE_LIMIT_PER_SECOND", "-1"),
    ("JWT_ALGORITHMS", "none"),
    ("JWT_ALGORITHMS", "RS256, ES256"),
    ("JWT_ALGORITHMS", ""),
    ("PROVIDER_TIMEOUT_SECONDS", "nan"),
    ("PROVIDER_TIMEOUT_SECONDS", "inf"),
    ("PROVIDER_TIMEOUT_SECONDS", "0"),
    ("PROVIDER_TIMEOUT_SECONDS", "-1"),
    ("PROVIDER_CONCURRENCY_MAX", "0"),
    ("PROVIDER_CONCURRENCY_MAX", "-1"),
    ("PROVIDER_BREAKER_OPEN_SECONDS", "nan"),
    ("PROVIDER_RETRIES_MAX", "1000000"),
    ("VAULT", "Provider"),
    ("KYC_URL", "kyc.internal"),
    ("KYC_REQUIRED_TYPES", "CARDS"),
    ("AUTHORIZATION_DAYS", "0"),
    ("AUTHORIZATION_DAYS", "9999999"),
    ("INQUIRY_AFTER_SECONDS", "nan"),
    ("IDEMPOTENCY_HOURS", "99999999999"),
    ("DISPUTE_NOTICE_DAYS", "9999999999"),
    ("RECONCILIATION_LATE_DAYS", "-1"),
    ("MICRO_DEPOSITS", "a lot"),
    ("WEBHOOK_ATTEMPTS_MAX", "0"),
    ("WEBHOOK_BODY_DAYS", "-1"),
    ("WEBHOOK_TOLERANCE_SECONDS", "-300"),
    ("DELIVERY_TIMEOUT_SECONDS", "nan"),
    ("EVENTS_SINK_URL", "ftp://sink"),
    ("SEAL_EVERY_SECONDS", "0"),
    ("SEAL_EVERY_SECONDS", "nan"),
]


class TestAbsurdValues:
    @pytest.mark.parametrize("name, value", ABSURD)
    def test_are_refused_by_name(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=name.lower()):
            from_environment({f"BURSAR_{name}": value})

    def test_the_defaults_are_none(self) -> None:
        assert from_environment({name: default for name, _, default, _ in described()}) == Settings()

    def test_spaces_in_a_list_of_types_are_not(self) -> None:
        from_environment({"BURSAR_KYC_REQUIRED_TYPES": "CARD, BANK_ACCOUNT"})


class TestProviders:
    @pytest.mark.parametrize("providers", ["sandbox", "stripe,sandbox", "stripe, sandbox"])
    def test_with_the_sandbox_bring_its_methods(self, providers: str) -> None:
        assert "pm_sandbox_visa" in assembly.test_methods(Settings(providers=providers))


class TestInherited:
    @pytest.mark.parametrize("given", [{"port": 8000}, {"host": "127.0.0.1"}, {"port": 8123}, {}])
    def test_are_what_the_command_line_said(self, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
        """Also where an option takes back to the default what the environment says."""
        monkeypatch.setenv("BURSAR_PORT", "9000")
        monkeypatch.setenv("BURSAR_HOST", "127.0.0.2")
        settings = from_environment(**given)
        assert from_environment(inherited(settings)) == settings


class TestAddress:
    @pytest.mark.parametrize("host, address", [("127.0.0.1", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")])
    def test_is_one_that_can_be_asked(self, host: str, address: str) -> None:
        assert Settings(host=host).address == address


class TestMetricsPort:
    async def test_that_is_taken_is_named(self, serve: Serve) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with serve(worker_metrics_port=taken.getsockname()[1]) as service:
                with pytest.raises(SettingsError, match="BURSAR_WORKER_METRICS_PORT"):
                    await run_worker(service.app, asyncio.Event())
