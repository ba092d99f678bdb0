"""A broker in memory, as good as any: for tests of what drives brokers, and as the smallest example of one.

It keeps the protocol's promises by itself. How it misbehaves is told with `script`: the next request of a kind gets
this answer, the work being done or not; so a 500 of a creation that went through is `script("provision",
Unsure(reason, mitigate=True))`, and a refusal `script("provision", Refused(400, None, "no"), does=False)`.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from gongfang.brokers.interface import (
    CONCURRENCY,
    Accepted,
    Answer,
    Bind,
    Body,
    Bound,
    Catalog,
    CatalogOffering,
    CatalogPlan,
    Deprovision,
    Done,
    Failure,
    Gone,
    Poll,
    Polled,
    Provision,
    Provisioned,
    Refused,
    Target,
    Unbind,
    Update,
    Updated,
)
from gongfang.domain.values import JsonObject

CATALOG = Catalog(
    (
        CatalogOffering(
            id="pretend-service",
            name="pretend",
            description="Nothing, kept well",
            tags=("pretend",),
            plan_updateable=True,
            instances_retrievable=True,
            bindings_retrievable=True,
            plans=(
                CatalogPlan(id="plan-small", name="small", description="Little of it", binding_rotatable=True),
                CatalogPlan(id="plan-large", name="large", description="More of it", binding_rotatable=True),
            ),
        ),
    )
)


@dataclass(slots=True)
class HeldBinding:
    parameters: JsonObject
    predecessor: str | None
    credentials: JsonObject


@dataclass(slots=True)
class HeldInstance:
    service: str
    plan: str
    parameters: JsonObject
    host: str = "127.0.0.1"
    bindings: dict[str, HeldBinding] = field(default_factory=dict[str, HeldBinding])


@dataclass(slots=True)
class _Work:
    """Under way: what is done at its end, and after how many polls that is."""

    operation: str
    kind: str
    ask: Any
    polls: int


@dataclass(frozen=True, slots=True)
class _Scripted:
    answer: Answer | Polled
    does: bool


class MemoryBroker:
    """`asynchronous`: answers `Accepted`, and is done after `polls` more polls. `held`: set it to a cleared event, and
    every request waits for it before it is answered."""

    def __init__(self, catalog: Catalog = CATALOG, *, asynchronous: bool = False, polls: int = 1) -> None:
        self.asynchronous = asynchronous
        self.polls = polls
        self.instances: dict[str, HeldInstance] = {}
        self.asked: list[Any] = []
        self.held: asyncio.Event | None = None
        self._catalog = catalog
        self._scripts: defaultdict[str, deque[_Scripted]] = defaultdict(deque)
        self._works: dict[tuple[str, str | None], _Work] = {}
        self._count = 0

    def script(self, kind: str, answer: Answer | Polled, *, does: bool = True) -> None:
        """The next `kind` (`provision`, `update`, `deprovision`, `bind`, `unbind`, `last_operation`) gets this."""
        self._scripts[kind].append(_Scripted(answer, does))

    def asked_for(self, kind: type[Any]) -> list[Any]:
        return [ask for ask in self.asked if isinstance(ask, kind)]

    async def catalog(self, etag: str | None = None) -> Catalog | None:
        return None if etag is not None and etag == self._catalog.etag else self._catalog

    async def provision(self, ask: Provision) -> Answer:
        return await self._take("provision", ask, ask.target, None)

    async def update(self, ask: Update) -> Answer:
        return await self._take("update", ask, ask.target, None)

    async def deprovision(self, ask: Deprovision) -> Answer:
        return await self._take("deprovision", ask, ask.target, None)

    async def bind(self, ask: Bind) -> Answer:
        return await self._take("bind", ask, ask.target, ask.binding_id)

    async def unbind(self, ask: Unbind) -> Answer:
        return await self._take("unbind", ask, ask.target, ask.binding_id)

    async def last_operation(self, ask: Poll) -> Polled | Failure:
        await self._noted(ask)
        scripted = self._scripted("last_operation")
        if scripted is not None:
            if scripted.does and isinstance(scripted.answer, Polled) and scripted.answer.state == "failed":
                self._works.pop((ask.target.instance_id, ask.binding_id), None)
            return scripted.answer  # pyright: ignore[reportReturnType]  (a poll is scripted with what a poll answers)
        work = self._works.get((ask.target.instance_id, ask.binding_id))
        if work is None:
            there = self._there(ask.target, ask.binding_id)
            return Polled("succeeded") if there else Polled("gone")
        if ask.operation is not None and ask.operation != work.operation:
            return Refused(400, None, "no such operation")
        if work.polls > 0:
            work.polls -= 1
            return Polled("in progress", description=f"{work.kind} is under way")
        del self._works[ask.target.instance_id, ask.binding_id]
        self._do(work.ask)
        return Polled("gone" if work.kind in ("deprovision", "unbind") else "succeeded")

    async def fetch_binding(self, ask: Poll) -> Bound | Failure:
        await self._noted(ask)
        instance = self.instances.get(ask.target.instance_id)
        binding = instance.bindings.get(ask.binding_id or "") if instance else None
        if instance is None or binding is None:
            return Refused(404, None, "no such binding")
        return self._bound(instance, binding)

    async def fetch_instance(self, ask: Poll) -> Provisioned | Failure:
        await self._noted(ask)
        there = ask.target.instance_id in self.instances
        return Provisioned() if there else Refused(404, None, "no such instance")

    async def _noted(self, ask: Any) -> None:
        self.asked.append(ask)
        if self.held is not None:
            await self.held.wait()

    def _scripted(self, kind: str) -> _Scripted | None:
        waiting = self._scripts[kind]
        return waiting.popleft() if waiting else None

    def _there(self, target: Target, binding_id: str | None) -> bool:
        instance = self.instances.get(target.instance_id)
        return instance is not None and (binding_id is None or binding_id in instance.bindings)

    async def _take(  # noqa: PLR0911  (one answer a case)
        self, kind: str, ask: Any, target: Target, binding_id: str | None
    ) -> Answer:
        await self._noted(ask)
        scripted = self._scripted(kind)
        if scripted is not None:
            if scripted.does:
                self._do(ask)
            return scripted.answer  # pyright: ignore[reportReturnType]
        key = target.instance_id, binding_id
        work = self._works.get(key)
        if work is not None:
            if work.kind == kind and _same(work.ask, ask):
                return Accepted(work.operation)
            if kind not in ("deprovision", "unbind"):
                return Refused(422, CONCURRENCY, "another request is under way")
            del self._works[key]  # halted
            if kind == "deprovision" and not self._there(target, None):
                return Done(Gone())
        answered = self._known(kind, ask, target, binding_id)
        if answered is not None:
            return answered
        if self.asynchronous:
            self._count += 1
            self._works[key] = _Work(f"work-{self._count}", kind, ask, self.polls)
            return Accepted(self._works[key].operation)
        return Done(self._do(ask))

    def _known(  # noqa: PLR0911  (one answer a case)
        self, kind: str, ask: Any, target: Target, binding_id: str | None
    ) -> Answer | None:
        """What is answered without doing anything; None: there is something to do."""
        instance = self.instances.get(target.instance_id)
        if kind == "provision":
            if instance is None:
                return None
            same = (instance.service, instance.plan, instance.parameters) == (
                target.service_id,
                target.plan_id,
                ask.parameters,
            )
            return Done(Provisioned(), created=False) if same else Refused(409, None, "there with other attributes")
        if instance is None:
            return Done(Gone()) if kind in ("deprovision", "unbind") else Refused(404, None, "no such instance")
        if kind == "bind":
            binding = instance.bindings.get(binding_id or "")
            if binding is None:
                return None
            if binding.parameters != ask.parameters:
                return Refused(409, None, "there with other attributes")
            return Done(self._bound(instance, binding), created=False)
        if kind == "unbind" and binding_id not in instance.bindings:
            return Done(Gone())
        return None

    def _do(self, ask: Any) -> Body:
        target: Target = ask.target
        match ask:
            case Provision():
                held = HeldInstance(target.service_id, target.plan_id, ask.parameters)
                self.instances.setdefault(target.instance_id, held)
                return Provisioned()
            case Update():
                if target.instance_id in self.instances:
                    self.instances[target.instance_id].plan = target.plan_id
                    if ask.parameters is not None:
                        self.instances[target.instance_id].parameters = ask.parameters
                return Updated()
            case Bind():
                instance = self.instances[target.instance_id]
                secret = {"username": ask.binding_id, "password": f"secret-of-{ask.binding_id}"}
                held = HeldBinding(ask.parameters, ask.predecessor_id, secret)
                instance.bindings.setdefault(ask.binding_id, held)
                return self._bound(instance, instance.bindings[ask.binding_id])
            case Unbind():
                if target.instance_id in self.instances:
                    self.instances[target.instance_id].bindings.pop(ask.binding_id, None)
                return Gone()
            case _:
                self.instances.pop(target.instance_id, None)
                return Gone()

    @staticmethod
    def _bound(instance: HeldInstance, binding: HeldBinding) -> Bound:
        port = 5000
        user, password = binding.credentials["username"], binding.credentials["password"]
        uri = f"pretend://{user}:{password}@{instance.host}:{port}"
        credentials = {**binding.credentials, "host": instance.host, "port": port, "uri": uri}
        return Bound(credentials, (f"{instance.host}:{port}",))


def _same(one: Any, other: Any) -> bool:
    """Whether two requests of one kind ask for the same, whoever asks."""
    names = ("target", "parameters", "predecessor_id", "binding_id")
    return all(getattr(one, name, None) == getattr(other, name, None) for name in names)
