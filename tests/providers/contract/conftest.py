"""Each test of the contract for each harness that there is."""

from collections.abc import AsyncIterator
from typing import Final

import pytest

from tests.providers.contract.harness import Harness, modules

MODULES: Final = modules()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults(kinds): which faults a test of the contract is about")


@pytest.fixture
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """A new stand-in with empty books, and an adapter that asks it."""
    async with MODULES[request.param].opened() as opened:
        yield opened


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test runs for each harness; one that takes `step` and `fault`, for what each can let go wrong of its faults."""
    if "fault" not in metafunc.fixturenames:
        metafunc.parametrize("harness", sorted(MODULES), indirect=True)
        return
    wanted = metafunc.definition.get_closest_marker("faults")
    assert wanted is not None, "a test that takes a fault says which: @pytest.mark.faults(...)"
    cases = [
        pytest.param(name, step, fault, id=f"{name}-{step.__name__}-{fault}")
        for name, module in sorted(MODULES.items())
        for step, faults in module.FAULTS.items()
        for fault in sorted(faults & wanted.args[0])
    ]
    metafunc.parametrize("harness,step,fault", cases, indirect=["harness"])
