"""One-off tasks in an app's own environment."""

from starlette.responses import Response

from gongfang.api.call import Call
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import task_out
from gongfang.api.waiting import Wait, until
from gongfang.domain.values import Task, TaskState
from gongfang.operations import tasks
from gongfang.wire.envelope import Page
from gongfang.wire.models import TaskOut, TaskRequest

routes = Routes("tasks")


def task_ended(task: Task) -> bool:
    return task.state not in (TaskState.pending, TaskState.running)


@routes.add("POST", "/apps/{app_id}/tasks", TaskOut, "Run a task", "运行一次性任务", status=202)
async def create_task(call: Call, app_id: str, body: TaskRequest, wait: Wait = None) -> Response:
    """A command with the app's release, variables and limits. With `?wait=` the answer is 200 when the task has
    ended, whatever its exit code."""
    task = await tasks.create_task(call.context, app_id, body)
    if wait:
        key = task.id
        task = await until(call, "task", key, lambda: tasks.show_task(call.context, key), task_ended, wait)
    return call.ok(task_out(task, call.language), status=200 if wait and task_ended(task) else 202)


@routes.add("GET", "/apps/{app_id}/tasks", Page[TaskOut], "List an app's tasks", "应用任务列表")
async def list_tasks(call: Call, app_id: str, pages: Pages) -> Response:
    """The newest first."""
    found = await tasks.list_tasks(call.context, app_id, after=pages.after, limit=pages.one_more)
    return call.ok(pages.page(found, lambda t: t.id, lambda t: task_out(t, call.language)))


@routes.add("GET", "/tasks/{task_id}", TaskOut, "Show a task", "查看任务")
async def show_task(call: Call, task_id: str) -> Response:
    return call.ok(task_out(await tasks.show_task(call.context, task_id), call.language))


@routes.add("POST", "/tasks/{task_id}/cancel", TaskOut, "Cancel a task", "取消任务")
async def cancel_task(call: Call, task_id: str) -> Response:
    """It is asked to end (SIGTERM, then SIGKILL); of one that has ended nothing changes."""
    return call.ok(task_out(await tasks.cancel_task(call.context, task_id), call.language))
