"""Middleware's parts, joined: the broker that the platform itself is, its servers, and what tenants asked of it."""

from pathlib import Path

from gongfang.brokers.kinds import KINDS
from gongfang.domain.clock import Clock
from gongfang.reconcile.bindings import BindingReconciler
from gongfang.reconcile.brokers import Brokers
from gongfang.reconcile.builtin import BuiltinBroker, Note, sync_catalog
from gongfang.reconcile.hosting import EnsureTool, HostedReconciler
from gongfang.reconcile.loop import Handler, Keys
from gongfang.reconcile.orphaned import OrphanReconciler
from gongfang.reconcile.services import ServiceReconciler
from gongfang.runtimes.interface import Runtime
from gongfang.state import Database


class ServiceParts:
    """`hosting.figures` tells what a server takes; `workers`: kind, handler and keys of each, for the loops."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        ensure: EnsureTool,
        clock: Clock,
        folder: Path,
        ports: tuple[int, int],
    ) -> None:
        self._database, self._clock, self._runtime = database, clock, runtime
        self._ports = range(ports[0], ports[1] + 1)
        self._builtin = self.broker(database, "", None)
        brokers = Brokers(self._builtin)
        services = ServiceReconciler(database, brokers, clock)
        bindings = BindingReconciler(database, brokers, clock)
        orphans = OrphanReconciler(database, brokers, clock)
        self.hosting = HostedReconciler(database, runtime, ensure, KINDS, clock, folder, self._builtin.blocks)
        self.workers: tuple[tuple[str, Handler, Keys], ...] = (
            ("hosted", self.hosting, self.hosting.unfinished),
            ("service", services, services.unfinished),
            ("binding", bindings, bindings.unfinished),
            ("orphan", orphans, orphans.unfinished),
        )

    def broker(self, database: Database, owner: str, note: Note | None) -> BuiltinBroker:
        """The broker as one platform sees it; `owner` "": this one."""
        return BuiltinBroker(
            database,
            KINDS,
            self._clock,
            owner=owner,
            ports=self._ports,
            enforces=lambda guarantee: self._runtime.capabilities().enforces(guarantee),
            note=note,
        )

    async def offer(self) -> None:
        """The catalogue as this version of the platform has it, in the store."""
        await sync_catalog(self._database, self._builtin, self._clock)
