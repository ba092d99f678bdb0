"""One-off tasks: a command in the app's own environment (`gongfang run APP -- CMD`)."""

from gongfang.domain.errors import Conflict, NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, Permission, Task, TaskState
from gongfang.operations.context import Context, find_app
from gongfang.operations.shared import lock_app
from gongfang.state import Reading
from gongfang.wire.models import TaskRequest

DEFAULT_MEMORY_MB = 512


async def create_task(context: Context, ref: str, request: TaskRequest) -> Task:
    """Asks for a command to be run with the app's release that is wanted now.

    Raises `Conflict("no_release_to_run")` where nothing was ever built.
    """
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, ref, Permission.app_run)
        release_id = app.target_release_id or app.current_release_id
        if release_id is None:
            raise Conflict("no_release_to_run", app=app.name)
        task = Task(
            id=new_id("task"),
            app_id=app.id,
            release_id=release_id,
            command=request.command,
            memory_mb=request.memory_mb or DEFAULT_MEMORY_MB,
            timeout_s=request.timeout_s,
            state=TaskState.pending,
            created_at=context.clock(),
            created_by=context.caller.user.name,
        )
        await tx.insert(task)
        await context.event(tx, "app:task:create", app=app, object_id=task.id)
        tx.wake("task", task.id)
        return task


async def list_tasks(context: Context, ref: str, *, after: str | None = None, limit: int = 50) -> list[Task]:
    """Newest first."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        return await tx.find(Task, app_id=app.id, descending=True, after=after, limit=limit)


async def _find(tx: Reading, context: Context, task_id: str, permission: Permission) -> tuple[App, Task]:
    task = await tx.one(Task, task_id)
    missing = NotFound("task_not_found", task=task_id)
    app = await tx.one(App, task.app_id) if task else None
    if task is None or app is None:
        raise missing
    context.require(permission, app.place, missing=missing)
    return app, task


async def show_task(context: Context, task_id: str) -> Task:
    async with context.database.reading() as tx:
        return (await _find(tx, context, task_id, Permission.app_read))[1]


async def cancel_task(context: Context, task_id: str) -> Task:
    """Asks for its end; of one that has ended it says so and changes nothing."""
    async with context.database.writing() as tx:
        app, task = await _find(tx, context, task_id, Permission.app_run)
        if task.state not in (TaskState.pending, TaskState.running):
            return task
        changed = await tx.update(Task, task.id, cancel_requested=True)
        await context.event(tx, "app:task:cancel", app=app, object_id=task.id)
        tx.wake("task", task.id)
        assert changed is not None
        return changed
