"""Who has which token: kept for a moment, and never longer than until something about it changes."""

import asyncio
from datetime import UTC, datetime

from gongfang.domain.values import Token, User
from gongfang.state.identities import KEPT_S, Identities
from gongfang.state.records import TokenRecord

AT = datetime(2026, 1, 1, tzinfo=UTC)


def record(user: str) -> TokenRecord:
    token = Token("tok", user, "t", (), AT, None, None)
    return TokenRecord(token, User(user, user, "", disabled=False, created_at=AT))


class Store:
    def __init__(self) -> None:
        self.rows: dict[str, TokenRecord] = {"a": record("anna")}
        self.asked = 0
        self.now = 0.0
        self.identities = Identities(lambda: self.now)

    async def read(self, digest: str) -> TokenRecord | None:
        self.asked += 1
        return self.rows.get(digest)

    def find(self, digest: str) -> TokenRecord | None:
        return asyncio.run(self.identities.find(digest, self.read))


def test_a_token_is_asked_for_once_while_nothing_changes() -> None:
    store = Store()
    assert store.find("a") is store.find("a") is store.rows["a"]
    assert store.asked == 1


def test_what_has_changed_counts_at_once() -> None:
    store = Store()
    store.find("a")
    del store.rows["a"]
    store.identities.forget()
    assert store.find("a") is None


def test_what_was_read_while_it_changed_is_not_kept() -> None:
    store = Store()

    async def read(digest: str) -> TokenRecord | None:
        found = await store.read(digest)
        del store.rows["a"]  # revoked between the reading and its answer
        store.identities.forget()
        return found

    assert asyncio.run(store.identities.find("a", read)) is not None  # a call that came first
    assert store.find("a") is None


def test_a_change_by_somebody_else_counts_after_a_few_seconds() -> None:
    store = Store()
    store.find("a")
    del store.rows["a"]
    store.now += KEPT_S
    assert store.find("a") is None


def test_an_unknown_token_is_not_remembered_as_unknown() -> None:
    store = Store()
    assert store.find("b") is None
    store.rows["b"] = record("bert")
    assert store.find("b") is store.rows["b"]
