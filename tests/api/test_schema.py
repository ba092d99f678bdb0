"""The migrations make exactly the tables that the code works with, once or twice."""

import asyncio

from gongfang.state import migrate, schema_differences


def test_migrations_and_tables_agree(postgres_url: str) -> None:
    async def differences() -> list[object]:
        await migrate(postgres_url)
        await migrate(postgres_url)
        return await schema_differences(postgres_url)

    assert asyncio.run(differences()) == []
