"""The app reconciler: gathers the picture of one app, plans, carries it out, and records what was observed.

Rows change first, then the world: an instance's row is there before its workload, so that whatever the control plane
dies of, a row tells what may be running. The reverse holds for ends: a workload is gone before its row says so.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from gongfang.domain.attachments import Attachment, attachment
from gongfang.domain.clock import Clock
from gongfang.domain.errors import GongfangError, Unavailable
from gongfang.domain.policies import HttpsMode
from gongfang.domain.values import (
    App,
    Build,
    BuildState,
    Domain,
    DomainStatus,
    Droplet,
    ExitInfo,
    Instance,
    InstanceState,
    Operation,
)
from gongfang.edge.interface import Edge, EdgeApp, EdgeEndpoint, EdgeHttps
from gongfang.reconcile.apply import AppWriter
from gongfang.reconcile.egress import Egress, start_in
from gongfang.reconcile.exits import last_lines
from gongfang.reconcile.health import HealthWatch
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.plans.app import Ended, Picture, plan_app
from gongfang.reconcile.plans.instances import SETTLE_S
from gongfang.reconcile.removal import remove_app
from gongfang.reconcile.rest import AtRest
from gongfang.reconcile.routing import Routes
from gongfang.reconcile.rows import AppRows, read_rows
from gongfang.reconcile.workloads import PlatformFacts, instance_spec
from gongfang.runtimes.interface import Phase, Runtime
from gongfang.state import Database, Wake
from gongfang.state.service_queries import bound_services

log = structlog.get_logger()

MAX_ROUNDS = 50  # rounds of plan and apply before others get their turn
SURVEY = 50  # apps whose rows are read at once by the sweep
EDGE_RETRY_S = 1.0
STOP_RETRY_S = 1.0
_ROUTED = "web"


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture, with what carrying out its plan needs beside it."""

    picture: Picture
    droplets: Mapping[str, Droplet]
    domains: tuple[Domain, ...]


class AppReconciler:
    """A handler for `KeyedWorkers`, the key being an app's id."""

    def __init__(
        self,
        database: Database,
        runtime: Runtime,
        edge: Edge,
        clock: Clock,
        facts: PlatformFacts,
        egress: Egress | None = None,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._edge = edge
        self._clock = clock
        self._facts = facts
        self._egress = egress
        self._health = HealthWatch(database, clock)
        self._at_rest = AtRest(database, runtime, self._health.in_order)
        self._writer = AppWriter(database, clock)
        self._routes = Routes(edge, self._wake)
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self.looked_through = 0  # apps, by the sweep under way or the last one

    async def close(self) -> None:
        await self._health.close()
        await self._routes.close()
        stopping = list(self._stopping.values())
        for task in stopping:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)

    def _wake(self, app_id: str) -> None:
        self._database.hub.publish([Wake("app", app_id)])

    async def edge_apps(self) -> list[EdgeApp]:
        """What the edge should serve, of all apps: for the control plane's start."""
        async with self._database.reading() as tx:
            apps = await tx.find(App)
            domains = await tx.find(Domain)
            instances = await tx.find(Instance, state=[s.value for s in InstanceState if not s.ended])
        domains_of: defaultdict[str | None, list[Domain]] = defaultdict(list)
        for domain in domains:
            domains_of[domain.app_id].append(domain)
        instances_of: defaultdict[str, list[Instance]] = defaultdict(list)
        for instance in instances:
            instances_of[instance.app_id].append(instance)
        return [edge_app(app, domains_of[app.id], instances_of[app.id], self._facts.https_port) for app in apps]

    async def to_look_at(self) -> list[str]:
        """Ids of apps for the sweep: those of which something has changed since they were found at rest, and that are
        not found to be at rest now."""
        others = await self._at_rest.others()
        ids = list(others)
        found: list[str] = []
        self.looked_through = 0
        for begin in range(0, len(ids), SURVEY):
            found += await self._survey({app_id: others[app_id] for app_id in ids[begin : begin + SURVEY]})
            self.looked_through += min(SURVEY, len(ids) - begin)
        return found

    async def _survey(self, versions: Mapping[str, str]) -> list[str]:
        """Plans for many apps at once, and notes those at rest; answers the others, which are left to a look. Nothing
        is carried out here, and nobody is waited for."""
        found: list[str] = []
        async with self._database.reading() as tx:
            many = await read_rows(tx, list(versions))
        for rows in many:
            await asyncio.sleep(0)  # others get their turn
            seen = await self._at_a_glance(rows)
            if seen is None or not _nothing_to_do(seen.picture.app, plan_app(seen.picture)):
                found.append(rows.app.id)
                continue
            self._watch_health(seen.picture)
            if seen.picture.edge_current:  # else its word is on its way, and the next sweep looks again
                self._at_rest.note(rows.app.id, versions[rows.app.id], [i.id for i in seen.picture.live])
        return [*found, *(versions.keys() - {rows.app.id for rows in many})]

    async def _at_a_glance(self, rows: AppRows) -> _Seen | None:
        """A picture without asking the edge or reading output; None where the plan may depend on these."""
        leaving = any(i.state.leaving and not i.state.ended for i in rows.instances)
        if rows.operations or leaving or any(d.status is DomainStatus.pending for d in rows.domains):
            return None
        ended = await self._ended(rows.instances)
        wanted = edge_app(
            rows.app, rows.domains, [i for i in rows.instances if i.id not in ended], self._facts.https_port
        )
        if ended or not self._edge.wants(wanted):
            return None
        return self._seen(rows, ended, edge_current=self._routes.serves(wanted))

    async def __call__(self, app_id: str) -> float | None:
        self._at_rest.forget(app_id)
        for _ in range(MAX_ROUNDS):
            seen = await self._gather(app_id)
            if seen is None:
                self._routes.forget(app_id)
                return None
            plan = plan_app(seen.picture)
            moved = await self._apply(seen, plan)
            if not moved:
                return self._next_look(seen, plan)
        return 0.0

    def _next_look(self, seen: _Seen, plan: a.Plan) -> float | None:
        later = (plan.wake_at - self._clock()).total_seconds() if plan.wake_at else None
        if self._routes.refused(seen.picture.app.id):
            return EDGE_RETRY_S if later is None else min(later, EDGE_RETRY_S)
        return later

    # --- gather ------------------------------------------------------------------------------------------------------

    async def _gather(self, app_id: str) -> _Seen | None:
        async with self._database.reading() as tx:
            found = await read_rows(tx, [app_id])
        if not found:
            return None
        rows = found[0]
        ended = await self._ended(rows.instances)
        wanted = edge_app(
            rows.app, rows.domains, [i for i in rows.instances if i.id not in ended], self._facts.https_port
        )
        edge_current = await self._routes.put(wanted)
        if edge_current:
            await self._writer.activate_domains([d for d in rows.domains if d.status is DomainStatus.pending])
        seen = self._seen(
            rows,
            ended,
            edge_current=edge_current,
            build_outputs=await self._outputs([b for b in rows.builds.values() if b.state is BuildState.failed]),
            in_flight=await self._in_flight(rows.app, rows.instances),
        )
        self._watch_health(seen.picture)
        return seen

    def _seen(self, rows: AppRows, ended: Mapping[str, Ended], *, edge_current: bool, **more: Any) -> _Seen:
        picture = rows.picture(
            self._clock(),
            ended=ended,
            probed={i.id: what for i in rows.instances if (what := self._health.last_seen(i.id)) is not None},
            edge_current=edge_current,
            **more,
        )
        return _Seen(picture, rows.droplets, rows.domains)

    async def _ended(self, instances: Sequence[Instance]) -> dict[str, Ended]:
        """What the runtime says has ended. One that was started and is unknown now has left no record: lost."""
        ended: dict[str, Ended] = {}
        for instance in instances:
            if instance.state.ended:
                continue
            seen = await self._runtime.observe(instance.id)
            if seen.phase is Phase.ended:
                ended[instance.id] = Ended(seen.exit or ExitInfo(None, lost=True), seen.ended_at, seen.told)
            elif seen.phase is Phase.unknown and (instance.started_at is not None or instance.state.leaving):
                ended[instance.id] = Ended(ExitInfo(None, lost=True), None)
        return ended

    async def _outputs(self, builds: Sequence[Build]) -> dict[str, str]:
        outputs: dict[str, str] = {}
        for build in builds:
            outputs[build.id] = await self._last_output(build.id)
        return outputs

    async def _last_output(self, workload_id: str) -> str:
        chunk = await self._runtime.read_log(workload_id, offset=-16384, limit=16384)
        return last_lines(chunk.data)

    async def _in_flight(self, app: App, instances: Sequence[Instance]) -> dict[str, int | None]:
        """What drains since just now is not asked about: its count says nothing yet, and the edge would wait with the
        answer, and the app's next change with it."""
        settled = self._clock() - timedelta(seconds=SETTLE_S)
        draining = {
            i.id: EdgeEndpoint(i.host, i.port, draining=True)
            for i in instances
            if i.state is InstanceState.draining and i.host and i.port and i.leaving_at and i.leaving_at <= settled
        }
        if not draining:
            return {}
        try:
            counts = await self._edge.in_flight(app.id, list(draining.values()))
        except Unavailable:
            return dict.fromkeys(draining)
        return {instance_id: counts.get(endpoint, 0) for instance_id, endpoint in draining.items()}

    def _watch_health(self, picture: Picture) -> None:
        for instance in picture.instances:
            release = picture.releases.get(instance.release_id)
            watched = not instance.state.ended and not instance.state.leaving and instance.id not in picture.ended
            if watched and instance.started_at is not None and release is not None:
                self._health.watch(instance, release.config.process(instance.process))
            elif not watched:
                self._health.forget(instance.id)

    # --- apply -------------------------------------------------------------------------------------------------------

    async def _apply(self, seen: _Seen, plan: a.Plan) -> bool:
        """Carries the actions out; whether anything has changed, so that planning again makes sense."""
        # First what is seen, then what is done: whoever waits for an operation's end sees the app as it is then.
        rows = _leading_rows(plan.actions)
        await self._writer.write(seen.picture.app, rows, plan.observed)
        moved = bool(rows)
        for action in plan.actions[len(rows) :]:
            moved = await self._act(seen, action) or moved
        return moved

    async def _act(self, seen: _Seen, action: a.Action) -> bool:  # noqa: PLR0911  (one answer a kind of action)
        app = seen.picture.app
        match action:
            case a.StartInstance():
                instance = await self._writer.add_instance(app, action, seen.picture.bound)
                await self._launch(seen, instance)
                return True
            case a.LaunchInstance(instance):
                await self._launch(seen, instance)
                return True
            case a.StopInstance(instance, grace, fault):
                return await self._stop(instance, grace, fault)
            case a.RecordEnd(instance):
                output = await self._last_output(instance.id)
                release = seen.picture.releases.get(instance.release_id)
                limits = (release.config if release else app.config).process(instance.process)
                await self._writer.record_end(app, action, limits, output)
                self._health.forget(instance.id)
                return True
            case a.ForgetInstance(instance):
                await self._runtime.remove(instance.id)
                await self._writer.forget_instance(instance)
                return False
            case a.RemoveApp(operation):
                return await self._remove(app, operation)
            case _:
                await self._writer.write(app, [action])
                return True

    async def _launch(self, seen: _Seen, instance: Instance) -> None:
        """Starts its workload, and records where it answers. What can never start is a crash with its reason."""
        release = seen.picture.releases[instance.release_id]
        droplet = seen.droplets[release.droplet_id]
        domain = seen.domains[0].domain if seen.domains and instance.process == _ROUTED else None
        attached = await self._attached(instance)
        spec = instance_spec(seen.picture.app, release, droplet, instance, self._facts, domain, attached)
        try:
            await start_in(self._runtime, self._egress, seen.picture.app.space_id, spec)
            observed = await self._runtime.observe(instance.id)
        except GongfangError as error:
            if isinstance(error, Unavailable):
                raise
            await self._writer.launch_failed(seen.picture.app, instance, str(error))
            return
        started = await self._writer.launched(instance, observed.endpoint, observed.started_at)
        if started is not None:
            self._health.watch(started, release.config.process(instance.process))

    async def _attached(self, instance: Instance) -> Attachment:
        """What it is given of services now, the row saying so before it starts. One that was started before a crash of
        ours has what its row says: starting it again starts nothing."""
        async with self._database.reading() as tx:
            attached = attachment(await bound_services(tx, instance.app_id))
        if attached.digest != instance.bound and (await self._runtime.observe(instance.id)).phase is Phase.unknown:
            await self._writer.bound(instance, attached.digest)
        return attached

    async def _stop(self, instance: Instance, grace_s: float, fault: object) -> bool:
        """Begins to stop it (in the background: the grace period may be long); its end wakes the app."""
        changed = False
        if instance.state is not InstanceState.stopping:
            await self._writer.stopping(instance, fault)
            changed = True
        if instance.id not in self._stopping:
            task = asyncio.create_task(self._runtime.stop(instance.id, grace_s=grace_s), name=f"stop:{instance.id}")
            self._stopping[instance.id] = task
            task.add_done_callback(lambda done: self._stopped(instance, done))
        return changed

    def _stopped(self, instance: Instance, done: asyncio.Task[None]) -> None:
        self._stopping.pop(instance.id, None)
        if done.cancelled():
            return
        wake = [Wake("app", instance.app_id)]
        if (error := done.exception()) is None:
            self._database.hub.publish(wake)
        else:
            log.error("stopping failed", instance=instance.id, exc_info=error)
            asyncio.get_running_loop().call_later(STOP_RETRY_S, self._database.hub.publish, wake)

    async def _remove(self, app: App, operation: Operation | None) -> bool:
        await self._routes.remove(app.id)
        await remove_app(self._database, self._runtime, self._clock, app, operation)
        return True


def _nothing_to_do(app: App, plan: a.Plan) -> bool:
    """Neither now nor later, and what would be recorded of the app is recorded."""
    seen = plan.observed
    known = (app.state, app.reason, app.observed_generation) == (seen.state, seen.reason, seen.generation)
    return known and not plan.actions and plan.wake_at is None


def _leading_rows(actions: Sequence[a.Action]) -> list[a.RowAction]:
    rows: list[a.RowAction] = []
    for action in actions:
        if not isinstance(action, a.RowAction):
            break
        rows.append(action)
    return rows


def edge_app(
    app: App, domains: Sequence[Domain], instances: Sequence[Instance], https_port: int | None = None
) -> EdgeApp:
    """What the edge should serve for an app, from its rows. Pure."""
    endpoints = [
        EdgeEndpoint(i.host, i.port, draining=i.state is InstanceState.draining)
        for i in instances
        if i.process == _ROUTED and i.host and i.port and i.state in (InstanceState.ready, InstanceState.draining)
    ]
    return EdgeApp(
        app_id=app.id,
        hosts=tuple(sorted(d.domain for d in domains)),
        endpoints=tuple(sorted(endpoints)),
        serving=app.desired.value == "started" and not app.destroying and app.scale.get(_ROUTED, 0) > 0,
        name=app.name,
        https=tuple(
            wish for d in sorted(domains, key=lambda d: d.domain) if (wish := edge_https(d, https_port)) is not None
        ),
    )


def edge_https(domain: Domain, https_port: int | None) -> EdgeHttps | None:
    """What a domain wants of its clients, while a valid certificate is served for it. Pure."""
    if https_port is None or not domain.tls.valid or domain.https is HttpsMode.off:
        return None
    redirect = https_port if domain.https is HttpsMode.redirect else None
    hsts = None
    if domain.hsts_max_age_s is not None:
        hsts = f"max-age={domain.hsts_max_age_s}" + ("; includeSubDomains" if domain.hsts_subdomains else "")
    return EdgeHttps(domain.domain, redirect, hsts) if redirect or hsts else None
