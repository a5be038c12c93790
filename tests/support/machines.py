"""Running a state machine of hypothesis against a service of its own."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import ClassVar

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.database import cloned, make_template
from tests.support.service import Service, serving


class ServiceMachine(RuleBasedStateMachine):
    """A state machine that drives a service; all examples share both."""

    loop: ClassVar[asyncio.Runner]
    service: ClassVar[Service]


async def nothing(_: Service) -> None:
    """The service is used as it is."""


def run_machine(
    machine: type[ServiceMachine],
    server_url: str,
    *,
    examples: int,
    steps: int,
    prepare: Callable[[Service], Awaitable[object]] = nothing,
) -> None:
    """Run so many examples of so many steps. prepare: what is done once, before the first."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner, tempfile.TemporaryDirectory() as directory:
        stack = AsyncExitStack()

        async def open_service() -> Service:
            template = await make_template(server_url)
            url = await stack.enter_async_context(cloned(server_url, template))
            service = await stack.enter_async_context(serving(url, Path(directory)))
            await prepare(service)
            return service

        try:
            machine.loop, machine.service = runner, runner.run(open_service())
            options = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
            run_state_machine_as_test(machine, settings=options)
        finally:
            runner.run(stack.aclose())
