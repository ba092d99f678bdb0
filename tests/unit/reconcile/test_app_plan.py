"""The plan for one app, as a pure function: a small world carries its actions out, and rules must hold throughout."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gongfang.domain.errors import Reason
from gongfang.domain.values import (
    App,
    AppConfig,
    AppState,
    AppType,
    Build,
    BuildState,
    DesiredState,
    ExitInfo,
    Instance,
    InstanceState,
    Operation,
    OperationKind,
    OperationStatus,
    ProcessConfig,
    Release,
    RuntimeName,
    Task,
    TaskState,
)
from gongfang.reconcile.plans import actions as a
from gongfang.reconcile.plans.app import Ended, Picture, plan_app

START = datetime(2026, 1, 1, tzinfo=UTC)
READY, CRASHED, DRAINING = InstanceState.ready, InstanceState.crashed, InstanceState.draining


def app(**changes) -> App:
    base = App(
        id="app_1",
        space_id="s",
        tenant_id="t",
        organization_id="o",
        name="demo",
        type=AppType.web,
        runtime=RuntimeName.auto,
        labels={},
        desired=DesiredState.started,
        scale={"web": 1},
        config=AppConfig(processes={"web": ProcessConfig(start_timeout_s=30, drain_s=5)}),
        target_release_id=None,
        epoch=0,
        generation=1,
        created_at=START,
        updated_at=START,
    )
    return replace(base, **changes)


def release(number: int, *, healthy: bool = True, config: AppConfig | None = None) -> Release:
    return Release(
        id=f"rel_{number}",
        app_id="app_1",
        number=number,
        droplet_id="d",
        package_id="p",
        package_seq=number,
        config=config or app().config,
        cause="deploy",
        from_release=None,
        created_at=START,
        created_by=None,
        healthy_at=START if healthy else None,
    )


def operation(kind: OperationKind, **changes) -> Operation:
    base = Operation(
        id=f"op_{kind}",
        kind=kind,
        app_id="app_1",
        app_name="demo",
        tenant_id="t",
        organization_id="o",
        space_id="s",
        status=OperationStatus.running,
        params={},
        steps=(),
        created_at=START,
        deadline=START + timedelta(minutes=30),
        created_by=None,
        started_at=START,
    )
    return replace(base, **changes)


@dataclass
class World:
    """Carries actions out as the reconciler does, in memory; `behaviour`: release id → what its instances do."""

    picture: Picture
    behaviour: dict[str, str] = field(default_factory=dict)
    count: int = 0
    least_ready: int = 99
    most_live: int = 0

    def __post_init__(self) -> None:
        self.releases = dict(self.picture.releases)

    def ready(self) -> int:
        return sum(i.state is READY for i in self.picture.instances)

    def change(self, instance: Instance, **changes) -> None:
        instances = tuple(replace(i, **changes) if i.id == instance.id else i for i in self.picture.instances)
        self.picture = replace(self.picture, instances=instances)

    def change_app(self, **changes) -> None:
        self.picture = replace(self.picture, app=replace(self.picture.app, **changes))
        self.pick()

    def pick(self) -> None:
        p = self.picture
        self.picture = replace(
            p,
            releases=self.releases,
            target=self.releases.get(p.app.target_release_id or ""),
            current=self.releases.get(p.app.current_release_id or ""),
        )

    def change_operation(self, op: Operation, **changes) -> None:
        ops = tuple(replace(o, **changes) if o.id == op.id else o for o in self.picture.operations)
        self.picture = replace(self.picture, operations=tuple(o for o in ops if not o.status.ended))
        self.last = next(o for o in ops if o.id == op.id)

    def pass_time(self, seconds: float) -> None:
        """Instances do what their release makes them do."""
        now = self.picture.now + timedelta(seconds=seconds)
        self.picture = replace(self.picture, now=now)
        for instance in self.picture.instances:
            does = self.behaviour.get(instance.release_id, "ready")
            if instance.state is InstanceState.starting and instance.started_at:
                if does == "ready":
                    self.change(instance, state=READY, ready_at=now)
                elif does == "crash":
                    self.end(instance, ExitInfo(1))
            elif instance.state is InstanceState.stopping:
                self.end(instance, ExitInfo(0))
        flight = {i.id: 0 for i in self.picture.instances if i.state is DRAINING}
        self.picture = replace(self.picture, in_flight=flight)

    def end(self, instance: Instance, how: ExitInfo) -> None:
        self.picture = replace(self.picture, ended={**self.picture.ended, instance.id: Ended(how, self.picture.now)})

    def act(self, action: a.Action) -> None:
        p = self.picture
        match action:
            case a.BeginOperation(op):
                self.change_operation(op, status=OperationStatus.running, started_at=p.now)
            case a.EnterStep():
                pass
            case a.ForgetInstance(instance):
                self.picture = replace(p, instances=tuple(i for i in p.instances if i.id != instance.id))
            case a.MakeRelease():
                made = release(len(self.releases) + 1, healthy=False, config=p.app.config)
                self.releases[made.id] = made
                self.change_operation(action.operation, release_id=made.id)
                self.change_app(target_release_id=made.id)
            case a.MarkHealthy(rel):
                self.releases[rel.id] = replace(rel, healthy_at=p.now)
                self.change_app(current_release_id=rel.id)
            case a.FinishOperation(op):
                self.change_operation(op, status=OperationStatus.succeeded)
            case a.Abandon():
                changes = {}
                if action.restore:
                    changes = {"target_release_id": action.restore.id, "config": action.restore.config}
                elif action.failed_release:
                    changes = {"target_release_id": None}
                if action.stop_app:
                    changes["desired"] = DesiredState.stopped
                if action.scale is not None:
                    changes["scale"] = action.scale
                self.change_operation(action.operation, status=action.status, reason=action.reason)
                self.change_app(**changes)
            case a.StartInstance():
                self.count += 1
                new = Instance(
                    id=f"i{self.count}",
                    app_id=p.app.id,
                    release_id=action.release.id,
                    epoch=p.app.epoch,
                    process=action.process,
                    index=action.index,
                    state=InstanceState.starting,
                    created_at=p.now,
                    restarts=action.restarts,
                    started_at=p.now,
                    host="127.0.0.1",
                    port=1000 + self.count,
                    bound=p.bound,
                )
                self.picture = replace(p, instances=(*p.instances, new))
            case a.LaunchInstance(instance):
                self.change(instance, started_at=p.now)
            case a.DrainInstance(instance):
                self.change(instance, state=DRAINING, leaving_at=p.now)
            case a.StopInstance(instance, _, fault):
                self.change(instance, state=InstanceState.stopping, reason=fault or instance.reason)
            case a.RecordEnd(instance, how, at):
                told = instance.state.leaving and instance.reason is None
                state = InstanceState.exited if told else CRASHED
                self.change(instance, state=state, exit=how, ended_at=at or p.now)
            case _:
                raise AssertionError(action)

    def settle(self, seconds: float = 120.0, step: float = 0.25) -> None:
        """Plans and acts until nothing is left to be done for a while."""
        for _ in range(int(seconds / step)):
            for _ in range(30):
                plan = plan_app(self.picture)
                acts = [x for x in plan.actions if not isinstance(x, a.EnterStep)]
                fresh = [
                    x
                    for x in acts
                    if not (isinstance(x, a.StopInstance) and x.instance.state is InstanceState.stopping)
                ]
                for action in acts:
                    self.act(action)
                live = [i for i in self.picture.instances if not i.state.ended]
                self.least_ready = min(self.least_ready, self.ready())
                self.most_live = max(self.most_live, sum(not i.state.leaving for i in live))
                if not fresh:
                    break
            else:
                raise AssertionError(f"plans go round in circles: {fresh}")
            self.pass_time(step)

    def live(self) -> list[Instance]:
        return [i for i in self.picture.instances if not i.state.ended]


def world(picture: Picture, **behaviour: str) -> World:
    made = World(picture, behaviour)
    made.pick()
    return made


def running(count: int, **more) -> World:
    """An app that runs `count` ready instances of release 1."""
    one = release(1)
    instances = tuple(
        Instance(
            id=f"old{n}",
            app_id="app_1",
            release_id=one.id,
            epoch=0,
            process="web",
            index=n,
            state=READY,
            created_at=START,
            started_at=START,
            ready_at=START,
            host="127.0.0.1",
            port=900 + n,
        )
        for n in range(count)
    )
    picture = Picture(
        app=app(scale={"web": count}, target_release_id=one.id, current_release_id=one.id),
        now=START,
        commands={"web": "run"},
        instances=instances,
        releases={one.id: one},
    )
    return world(replace(picture, **more))


def deploy(w: World, does: str = "ready") -> None:
    new = f"rel_{len(w.releases) + 1}"
    w.behaviour[new] = does
    op = operation(OperationKind.deploy, params={"package_id": "p2", "package_seq": 2, "droplet_id": "d2"})
    w.picture = replace(w.picture, operations=(op,))


def test_a_steady_app_needs_nothing() -> None:
    plan = plan_app(running(3).picture)
    assert plan.actions == ()
    assert plan.observed.state is AppState.running
    assert plan.wake_at is None


@given(count=st.integers(1, 12))
@settings(max_examples=12, deadline=None)
def test_a_deploy_never_has_fewer_ready_than_wanted_nor_many_more(count: int) -> None:
    w = running(count)
    deploy(w)
    w.settle(60)
    assert {i.release_id for i in w.live()} == {"rel_2"}
    assert len(w.live()) == count
    assert w.least_ready >= count
    assert w.most_live <= count + max(1, -(-count // 4))
    assert w.last.status is OperationStatus.succeeded


def test_an_old_instance_stays_until_the_edge_knows_the_new_one() -> None:
    w = running(1)
    deploy(w)
    w.picture = replace(w.picture, edge_current=False)
    w.settle(5)
    assert sum(i.release_id == "rel_1" and i.state is READY for i in w.picture.instances) == 1


@given(count=st.integers(1, 5), does=st.sampled_from(["crash", "never"]))
@settings(max_examples=10, deadline=None)
def test_a_release_that_does_not_become_healthy_is_abandoned_and_the_old_one_serves_on(count: int, does: str) -> None:
    w = running(count)
    before = w.picture.app.config
    w.change_app(config=replace(before, environment={"NEW": "1"}))
    deploy(w, does)
    w.settle(90)
    assert w.last.status is OperationStatus.failed
    assert w.picture.app.target_release_id == "rel_1"
    assert w.picture.app.config == before
    assert w.picture.app.desired is DesiredState.started
    assert w.least_ready >= count
    assert [i.release_id for i in w.live()] == ["rel_1"] * count


def test_a_first_start_that_fails_ends_stopped() -> None:
    w = world(Picture(app=app(), now=START, commands={"web": "run"}))
    w.behaviour["rel_1"] = "crash"
    op = operation(OperationKind.start, params={"package_id": "p", "package_seq": 1, "droplet_id": "d"})
    w.picture = replace(w.picture, operations=(op,))
    w.settle(30)
    assert w.last.status is OperationStatus.failed
    assert w.picture.app.desired is DesiredState.stopped
    assert w.live() == []


def test_what_ran_before_is_not_started_while_something_newer_is_built() -> None:
    one = release(1)
    w = world(
        Picture(
            app=app(target_release_id=one.id, current_release_id=one.id),
            now=START,
            commands={"web": "run"},
            releases={one.id: one},
            operations=(operation(OperationKind.start, params={"package_id": "p2", "package_seq": 2}, build_id="b"),),
            builds={"b": Build("b", "app_1", "p2", RuntimeName.auto, BuildState.running, START)},
        )
    )
    w.settle(3)
    assert w.live() == []


def test_a_failed_build_fails_the_operation_with_the_builds_reason_and_output() -> None:
    reason = Reason("build_failed", {"code": 1})
    build = Build("b", "app_1", "p2", RuntimeName.auto, BuildState.failed, START, reason=reason)
    w = running(1, builds={"b": build}, build_outputs={"b": "no such package"})
    op = operation(OperationKind.deploy, params={"package_id": "p2", "package_seq": 2}, build_id="b")
    w.picture = replace(w.picture, operations=(op,))
    (action,) = plan_app(w.picture).actions
    assert isinstance(action, a.Abandon)
    assert (action.reason, action.output, action.stop_app) == (reason, "no such package", False)


@given(
    before=st.integers(0, 8),
    after=st.integers(0, 8),
)
@settings(max_examples=25, deadline=None)
def test_scaling_reaches_the_count_and_keeps_what_stays(before: int, after: int) -> None:
    w = running(before)
    w.change_app(scale={"web": after})
    w.picture = replace(w.picture, operations=(operation(OperationKind.scale, params={"before": {"web": before}}),))
    w.settle(30)
    assert sorted(i.index for i in w.live()) == list(range(after))
    kept = {i.id for i in w.live()} & {f"old{n}" for n in range(before)}
    assert len(kept) == min(before, after)
    assert w.least_ready >= min(before, after)
    assert w.last.status is OperationStatus.succeeded


@given(count=st.integers(1, 6))
@settings(max_examples=6, deadline=None)
def test_a_restart_replaces_all_and_drops_none(count: int) -> None:
    w = running(count)
    w.change_app(epoch=1)
    w.picture = replace(w.picture, operations=(operation(OperationKind.restart),))
    w.settle(60)
    assert all(i.epoch == 1 for i in w.live())
    assert len(w.live()) == count
    assert w.least_ready >= count


def test_stop_drains_waits_for_requests_in_flight_and_stops() -> None:
    w = running(2)
    w.change_app(desired=DesiredState.stopped)
    w.picture = replace(w.picture, operations=(operation(OperationKind.stop),))
    for action in plan_app(w.picture).actions:
        if not isinstance(action, a.EnterStep):
            w.act(action)
    assert all(i.state is DRAINING for i in w.live())
    busy = replace(w.picture, now=START + timedelta(seconds=2), in_flight={"old0": 1, "old1": 0})
    stopped = [x.instance.id for x in plan_app(busy).actions if isinstance(x, a.StopInstance)]
    assert stopped == ["old1"]
    late = replace(busy, now=START + timedelta(seconds=6))
    assert len([x for x in plan_app(late).actions if isinstance(x, a.StopInstance)]) == 2
    w.settle(10)
    assert w.live() == []
    assert w.last.status is OperationStatus.succeeded
    assert plan_app(w.picture).observed.state is AppState.stopped


def test_a_crashed_instance_comes_back_with_back_off_for_ever() -> None:
    w = running(1)
    w.behaviour["rel_1"] = "crash"
    w.end(w.live()[0], ExitInfo(None, signal=9))
    w.settle(40, 0.05)
    assert 6 <= w.count <= 9  # 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6 s
    assert plan_app(w.picture).observed.state in (AppState.crashed, AppState.starting)
    w.behaviour["rel_1"] = "ready"
    w.settle(60)
    assert w.ready() == 1


def test_a_fix_replaces_a_crash_looping_release() -> None:
    w = running(1)
    w.behaviour["rel_1"] = "crash"
    w.end(w.live()[0], ExitInfo(1))
    w.settle(3)
    deploy(w)
    w.settle(20)
    assert [i.release_id for i in w.live()] == ["rel_2"]
    assert w.last.status is OperationStatus.succeeded


def test_a_cancelled_deploy_goes_back_to_the_whole_former_release() -> None:
    w = running(1)
    before = w.picture.app.config
    w.change_app(config=replace(before, environment={"NEW": "1"}))
    deploy(w, "never")
    w.settle(2)
    w.change_operation(w.picture.operations[0], cancel_requested=True)
    w.settle(20)
    assert w.last.status is OperationStatus.cancelled
    assert w.picture.app.config == before
    assert [i.release_id for i in w.live()] == ["rel_1"]
    assert w.least_ready >= 1


def test_an_operation_past_its_deadline_ends() -> None:
    w = running(1)
    deploy(w, "never")
    w.settle(1)
    w.picture = replace(w.picture, now=START + timedelta(hours=1))
    w.settle(10)
    assert w.last.status is OperationStatus.failed


@given(
    st.lists(st.sampled_from(["deploy", "bad", "scale1", "scale4", "crash", "restart", "wait"]), min_size=1, max_size=8)
)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_it_converges(steps: list[str]) -> None:
    """Any order of wishes and mishaps ends with exactly the wanted instances, all of one release, all ready."""
    w = running(2)
    for step in steps:
        match step:
            case "deploy" | "bad":
                deploy(w, "ready" if step == "deploy" else "crash")
            case "scale1" | "scale4":
                w.change_app(scale={"web": int(step[-1])})
            case "restart":
                w.change_app(epoch=w.picture.app.epoch + 1)
            case "crash" if w.live():
                w.end(w.live()[0], ExitInfo(1))
            case _:
                pass
        w.settle(2)
    w.settle(400)
    assert w.picture.operations == ()
    live = w.live()
    assert len(live) == w.picture.app.scale["web"]
    assert {i.state for i in live} <= {READY}
    assert len({(i.release_id, i.epoch) for i in live}) == 1
    assert plan_app(w.picture).actions == () or all(
        isinstance(x, a.ForgetInstance) for x in plan_app(w.picture).actions
    )


def test_a_release_that_got_healthy_is_kept_when_the_deploy_after_it_fails() -> None:
    """Its own operation was ended by the newer deploy, whose build fails."""
    w = running(1)
    made = release(2, healthy=False)
    w.releases[made.id] = made
    w.change_app(target_release_id=made.id)
    newer = operation(OperationKind.deploy, params={"package_id": "p3", "package_seq": 3}, build_id="b")
    build = Build(
        id="b", app_id="app_1", package_id="p3", runtime=RuntimeName.auto, state=BuildState.running, created_at=START
    )
    w.picture = replace(w.picture, operations=(newer,), builds={"b": build})
    w.settle(10)
    assert [i.release_id for i in w.live()] == [made.id]
    failed = replace(build, state=BuildState.failed, reason=Reason("build_failed", {}))
    w.picture = replace(w.picture, builds={"b": failed})
    w.settle(10)
    assert w.last.status is OperationStatus.failed
    assert [i.release_id for i in w.live()] == [made.id]


def test_a_build_that_nobody_waits_for_is_cancelled_but_not_one_that_is_about_to_be_asked_for() -> None:
    build = Build(
        id="b", app_id="app_1", package_id="p", runtime=RuntimeName.auto, state=BuildState.running, created_at=START
    )

    def cancelled(op: Operation) -> bool:
        plan = plan_app(Picture(app=app(), now=START, operations=(op,), builds={"b": build}))
        return a.CancelBuild(build) in plan.actions

    assert cancelled(operation(OperationKind.stop))
    assert cancelled(operation(OperationKind.deploy, params={"package_id": "p2"}, build_id="b2"))
    assert not cancelled(operation(OperationKind.deploy, params={"package_id": "p"}))
    assert not cancelled(operation(OperationKind.deploy, params={"package_id": "p"}, build_id="b"))


def test_giving_up_a_deploy_does_not_undo_a_restart_that_is_under_way() -> None:
    w = running(1)
    w.change_app(epoch=1)
    gives_up = operation(OperationKind.deploy, params={"package_id": "p", "droplet_id": "d"}, cancel_requested=True)
    w.picture = replace(w.picture, operations=(gives_up, operation(OperationKind.restart)))
    (abandon,) = [x for x in plan_app(w.picture).actions if isinstance(x, a.Abandon)]
    assert abandon.epoch is None


def test_instances_that_are_not_ready_any_more_make_the_app_degraded_with_their_reason_and_stay() -> None:
    w = running(1)
    why = Reason("readiness_failed", {"process": "web", "what": "HTTP 503"})
    w.change(w.picture.instances[0], state=InstanceState.unready, reason=why)
    plan = plan_app(w.picture)
    assert plan.actions == ()
    assert (plan.observed.state, plan.observed.reason) == (AppState.degraded, why)


def test_a_task_apps_run_ends_the_wish_to_run_it_before_the_operation() -> None:
    """The operation's end comes last: dying between the two leaves nothing half done."""
    op = operation(OperationKind.start, params={"task_id": "t"}, release_id="rel_1")
    done = Task(
        id="t",
        app_id="app_1",
        release_id="rel_1",
        command="run",
        memory_mb=1,
        timeout_s=1,
        state=TaskState.succeeded,
        created_at=START,
        created_by=None,
    )
    one = release(1)
    plan = plan_app(
        Picture(
            app=app(type=AppType.task, scale={}, target_release_id=one.id),
            now=START,
            operations=(op,),
            tasks={"t": done},
            target=one,
            releases={one.id: one},
        )
    )
    assert [type(x) for x in plan.actions] == [a.MarkHealthy, a.StopApp, a.FinishOperation]


# --- bindings --------------------------------------------------------------------------------------------------------


def test_other_bindings_replace_instances_with_none_fewer_ready() -> None:
    w = running(3)
    w.picture = replace(w.picture, bound="new")
    w.settle()
    assert [(i.bound, i.state) for i in w.live()] == [("new", READY)] * 3
    assert w.least_ready == 3


def test_bindings_that_an_app_does_not_run_with_leave_what_serves() -> None:
    w = running(2)
    old = {i.id for i in w.live()}
    w.picture = replace(w.picture, bound="bad")
    w.behaviour[w.picture.app.target_release_id] = "crash"
    w.settle(seconds=20)
    assert w.least_ready == 2
    w.picture = replace(w.picture, bound="")
    w.settle(seconds=20)
    assert {i.id for i in w.live()} == old


def test_an_app_is_not_removed_before_it_is_unbound() -> None:
    w = running(1)
    w.change_app(destroying=True, desired=DesiredState.stopped)
    w.picture = replace(w.picture, bindings=1)
    w.settle(seconds=30)
    assert not w.live()
    plan = plan_app(w.picture)
    assert not any(isinstance(x, a.RemoveApp) for x in plan.actions) and plan.wake_at is not None
    w.picture = replace(w.picture, bindings=0)
    assert any(isinstance(x, a.RemoveApp) for x in plan_app(w.picture).actions)
