"""A writing transaction that can't forget its event: what people's calls change is recorded by the store itself.

Every insert, update and delete is noted with the noun as it was before and as it is after. At the end of the block
each event gets the changes of its object; what else changed goes, under `kind[id].field`, to the last event. A block
that changed something and wrote no event is a bug of the platform: `EventForgotten` is raised before the commit, so
that nothing has changed. `unrecorded("why")` says that a block means to.

To know what was before, a row that this transaction has not locked yet is locked when it is changed, which its change
would do a moment later anyway. Operations lock what they change first, so this seldom asks the database anything.
"""

import dataclasses
from typing import Any, TypeVar, cast

from gongfang.domain import audit
from gongfang.domain.values import Build, JsonObject, Operation, Task, User
from gongfang.state.database import Writing

T = TypeVar("T")

# What is done, rather than what is changed: shown where an event is about it, and nowhere else.
_WORK = (Operation, Build, Task)


class EventForgotten(RuntimeError):
    """A change without its event. Never the caller's fault."""


@dataclasses.dataclass
class Change:
    """One noun: as it was when first touched (None: not there), as it is now (None: gone), and facts beside it."""

    before: Any
    after: Any
    masked: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])

    @property
    def noun(self) -> Any:
        return self.after if self.after is not None else self.before

    def shown(self) -> tuple[JsonObject | None, JsonObject | None]:
        was = audit.facts(self.before, unlike=self.after) if self.before is not None else {}
        now = audit.facts(self.after, unlike=self.before) if self.after is not None else {}
        for name, value in self.masked.items():
            was[name], now[name] = audit.Secret(None), audit.Secret(value)
        before, after = audit.changed(was, now)
        return (before if self.before is not None else None), (after if self.after is not None else None)


def _key(value: Any) -> str:
    return str(getattr(value, "id", None) or f"{type(value).__name__.lower()}_{id(value)}")


_Which = tuple[type[Any], str]


class AuditedWriting(Writing):
    """See the module."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        # By noun and id: a place and its quota have the same id.
        self._held: dict[_Which, Any] = {}
        self._changes: dict[_Which, Change] = {}
        self._unrecorded = False

    def unrecorded(self, why: str) -> None:
        """This block may change things without an event; `why` is for the reader of the code."""
        self._unrecorded = bool(why)

    async def lock(self, noun: type[T], key: str) -> T | None:
        found = await super().lock(noun, key)
        if found is not None:
            self._held.setdefault((noun, key), found)
        return found

    async def insert(self, value: Any, **more: Any) -> None:
        await super().insert(value, **more)
        self._note(_key(value), None, value)

    async def update(self, noun: type[T], key: str, **changes: Any) -> T | None:
        before = self._known(noun, key) or await self.lock(noun, key)
        after = await super().update(noun, key, **changes)
        if after is not None:
            self._note(key, before, after)
        return after

    async def delete(self, noun: type[Any], **equals: Any) -> int:
        gone = await self.find(noun, **equals)
        count = await super().delete(noun, **equals)
        for value in gone:
            self._note(_key(value), value, None)
        return count

    async def set_password(self, user_id: str, password_hash: str) -> None:
        before = self._known(User, user_id) or await self.lock(User, user_id)
        await super().set_password(user_id, password_hash)
        if before is not None:
            self._note(user_id, before, before)
            self._changes[User, user_id].masked["password"] = password_hash

    def _known(self, noun: type[Any], key: str) -> Any:
        change = self._changes.get((noun, key))
        return change.after if change is not None else self._held.get((noun, key))

    def _note(self, key: str, before: Any, after: Any) -> None:
        which: _Which = (cast("type[Any]", type(after if after is not None else before)), key)
        change = self._changes.get(which)
        if change is None:
            self._changes[which] = Change(before, after)
        else:
            change.after = after

    async def finish(self) -> None:
        if self._changes and not self.noted and not self._unrecorded:
            nouns = ", ".join(sorted({type(c.noun).__name__ for c in self._changes.values()}))
            raise EventForgotten(f"changed without an event: {nouns}")
        told: set[str] = set()
        for event in self.noted:
            self._tell(event, told)
        if self.noted:
            self._tell_the_rest(self.noted[-1], told)
        await super().finish()

    def _tell(self, event: dict[str, Any], told: set[str]) -> None:
        for (_, key), change in self._changes.items():
            if key != event["object_id"]:
                continue
            told.add(key)
            for side, shown in zip(("before", "after"), change.shown(), strict=True):
                given = cast("JsonObject | None", event[side])
                event[side] = shown if given is None else {**(shown or {}), **given}
            event["object_name"] = event["object_name"] or audit.name_of(change.noun)

    def _tell_the_rest(self, event: dict[str, Any], told: set[str]) -> None:
        sides: dict[str, JsonObject] = {"before": {}, "after": {}}
        for (_, key), change in self._changes.items():
            if key in told or isinstance(change.noun, _WORK):
                continue
            kind = audit.kind_of(key, type(change.noun).__name__.lower())
            for side, shown in zip(sides, change.shown(), strict=True):
                sides[side] |= {f"{kind}[{key}].{name}": value for name, value in (shown or {}).items()}
        for side, fields in sides.items():
            if fields:
                event[side] = {**cast("JsonObject", event[side] or {}), **audit.shortened(fields)}


__all__ = ["AuditedWriting", "Change", "EventForgotten"]
