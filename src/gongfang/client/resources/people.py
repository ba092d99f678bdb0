"""Who may: login, users and their roles, tokens."""

from collections.abc import Sequence
from typing import Any

from gongfang.client.pages import Pages
from gongfang.client.resources.base import Resource, given, part
from gongfang.wire.models import RoleOut, TokenOut, UserOut


class Users(Resource):
    """`client.users`."""

    def list(self, *, page_size: int | None = None) -> Pages[UserOut]:
        return self._list("/users", UserOut, page_size=page_size)

    def create(
        self, name: str, password: str, *, display_name: str | None = None, roles: Sequence[dict[str, Any]] = ()
    ) -> UserOut:
        """`roles`: each `{"role", "level", "scope_id"}`, as `grant` takes them."""
        body = given(name=name, password=password, display_name=display_name, roles=list(roles))
        return self._post("/users", UserOut, body)

    def get(self, user_id: str) -> UserOut:
        return self._get(f"/users/{part(user_id)}", UserOut)

    def change(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        end_tokens: bool | None = None,
    ) -> UserOut:
        """A new password ends the tokens of log-ins but the calling one; `end_tokens` ends API tokens as well."""
        body = given(display_name=display_name, disabled=disabled, password=password, end_tokens=end_tokens)
        return UserOut.model_validate(self._patch(f"/users/{part(user_id)}", body).data)

    def remove(self, user_id: str) -> None:
        self._delete(f"/users/{part(user_id)}")

    def grant(self, user_id: str, role: str, *, level: str = "platform", scope_id: str | None = None) -> RoleOut:
        """Binds a role at the platform, or at the tenant, organization or space whose id is `scope_id`."""
        body = given(role=role, level=level, scope_id=scope_id)
        return self._post(f"/users/{part(user_id)}/roles", RoleOut, body)

    def revoke(self, user_id: str, role_binding_id: str) -> None:
        self._delete(f"/users/{part(user_id)}/roles/{part(role_binding_id)}")


class Tokens(Resource):
    """`client.tokens`."""

    def list(self, *, user_id: str | None = None, page_size: int | None = None) -> Pages[TokenOut]:
        """The caller's own; another user's for an administrator."""
        return self._list("/tokens", TokenOut, {"user_id": user_id}, page_size)

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] = (),
        expires_in_s: int | None = 90 * 86400,
        user_id: str | None = None,
    ) -> TokenOut:
        """The answer's `token` is shown this once. `expires_in_s` None: never. No scopes: all that its user may."""
        body = given(name=name, scopes=list(scopes), user_id=user_id)
        body["expires_in_s"] = expires_in_s
        return self._post("/tokens", TokenOut, body)

    def revoke(self, token_id: str) -> None:
        self._delete(f"/tokens/{part(token_id)}")
