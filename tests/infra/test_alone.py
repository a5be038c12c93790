"""What only one may do at a time, in whichever process."""

import asyncpg

from bursar.infra.db import Database, prepare_connection
from tests.support.service import Service, eventually


async def another(service: Service) -> Database:
    """A process of its own, as far as PostgreSQL can tell."""
    return Database(await asyncpg.create_pool(service.url, min_size=1, max_size=2, init=prepare_connection))


class TestAlone:
    async def test_nobody_else_is_until_the_end(self, service: Service) -> None:
        one, other = service.app.database, await another(service)
        async with one.alone("sums") as is_alone:
            assert is_alone
            async with one.alone("sums") as again, other.alone("sums") as elsewhere:
                assert (again, elsewhere) == (False, False)
            async with other.alone("other sums") as is_other:
                assert is_other
        async with other.alone("sums") as is_free:
            assert is_free
        await other.pool.close()

    async def test_a_broken_connection_lets_the_next_one_in(self, service: Service) -> None:
        killed, other = await another(service), await another(service)
        async with killed.alone("sums") as is_alone:
            assert is_alone
            killed.pool.terminate()

            async def is_free() -> bool:
                async with other.alone("sums") as is_ours:
                    return is_ours

            await eventually(is_free)  # PostgreSQL notices it a moment later
        await other.pool.close()
