"""Users and their roles."""

from starlette.responses import Response

from gongfang.api.call import Call, KnownCall
from gongfang.api.endpoint import Routes
from gongfang.api.paging import Pages
from gongfang.api.present import user_out
from gongfang.domain.values import User
from gongfang.operations import users
from gongfang.wire.envelope import Page
from gongfang.wire.models import RoleOut, RoleRequest, UserChange, UserOut, UserRequest

routes = Routes("users")


async def _out(call: KnownCall, user: User) -> UserOut:
    return user_out(user, (await users.locks(call.context, [user])).get(user.id))


@routes.add("GET", "/users", Page[UserOut], "List users", "用户列表")
async def list_users(call: Call, pages: Pages) -> Response:
    found = await users.list_users(call.context, after=pages.after, limit=pages.one_more)
    locked = await users.locks(call.context, found)
    return call.ok(pages.page(found, lambda u: u.id, lambda u: user_out(u, locked.get(u.id))))


@routes.add("POST", "/users", UserOut, "Create a user", "创建用户", status=201)
async def create_user(call: Call, body: UserRequest) -> Response:
    """With first roles, each of which the caller must administer. Without any: by the platform's administrators."""
    return call.ok(user_out(await users.create_user(call.context, body)), status=201)


@routes.add("GET", "/users/{user_id}", UserOut, "Show a user", "查看用户")
async def show_user(call: Call, user_id: str) -> Response:
    return call.ok(await _out(call, await users.show_user(call.context, user_id)))


@routes.add("PATCH", "/users/{user_id}", UserOut, "Change a user", "修改用户")
async def change_user(call: Call, user_id: str, body: UserChange) -> Response:
    return call.ok(await _out(call, await users.change_user(call.context, user_id, body)))


@routes.add("DELETE", "/users/{user_id}", None, "Delete a user", "删除用户")
async def delete_user(call: Call, user_id: str) -> Response:
    await users.delete_user(call.context, user_id)
    return call.ok()


@routes.add("POST", "/users/{user_id}/roles", RoleOut, "Bind a role", "授予角色", status=201)
async def grant_role(call: Call, user_id: str, body: RoleRequest) -> Response:
    """At the platform, a tenant, an organisation or a space, and all below it."""
    return call.ok(RoleOut.model_validate(await users.grant_role(call.context, user_id, body)), status=201)


@routes.add("DELETE", "/users/{user_id}/roles/{role_binding_id}", None, "Take a role away", "撤销角色")
async def revoke_role(call: Call, user_id: str, role_binding_id: str) -> Response:
    await users.revoke_role(call.context, user_id, role_binding_id)
    return call.ok()
