"""`python -m simulators` as a process."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


async def test_serves_prints_and_ends() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "simulators", "stripe", "--port", f"stripe={port}", "--seed", "7", "--fault", "DECLINE=1",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client:
            faults = await _answered(client, "/_sim/faults")
        assert (faults["seed"], faults["rates"]) == (7, {"DECLINE": 1.0})
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert f"stripe: http://127.0.0.1:{port}" in printed.decode()
    assert "4242424242424242" in printed.decode()


async def _answered(client: httpx.AsyncClient, path: str) -> Any:
    for _ in range(1_200):
        try:
            return (await client.get(path)).json()
        except httpx.TransportError:
            await asyncio.sleep(0.05)
    raise AssertionError("the simulator did not start")
