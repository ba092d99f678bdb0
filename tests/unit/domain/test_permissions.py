"""Roles and where they reach."""

from hypothesis import given
from hypothesis import strategies as st

from gongfang.domain.ids import is_id, new_id
from gongfang.domain.permissions import PERMISSIONS, covers, granted
from gongfang.domain.values import Level, Permission, Place, Role, RoleBinding

HERE = Place("ten_a", "org_a", "spc_a")
ids = st.sampled_from(["ten_a", "org_a", "spc_a", "ten_b", "org_b", "spc_b", "spc_", "spc_aa", None])


@given(level=st.sampled_from(Level), scope=ids)
def test_a_binding_reaches_its_own_place_and_what_lies_below_and_nothing_else(level: Level, scope: str | None) -> None:
    binding = RoleBinding("r", "u", Role.operator, level, scope)
    own = {Level.platform: True, Level.tenant: "ten_a", Level.organization: "org_a", Level.space: "spc_a"}[level]
    assert covers(binding, HERE) == (own is True or scope == own)


def test_nothing_bound_to_no_scope_reaches_a_place_without_one() -> None:
    for level in (Level.tenant, Level.organization, Level.space):
        assert not covers(RoleBinding("r", "u", Role.administrator, level, None), Place())


@given(roles=st.sets(st.sampled_from(Role)), scopes=st.sets(st.sampled_from(Permission)))
def test_a_tokens_scopes_only_ever_take_away(roles: set[Role], scopes: set[Permission]) -> None:
    bindings = [RoleBinding(r.value, "u", r, Level.space, "spc_a") for r in roles]
    whole = granted(bindings, (), HERE)
    assert granted(bindings, scopes, HERE) <= whole
    assert granted(bindings, scopes, HERE) == (whole & scopes if scopes else whole)


def test_the_supervisor_changes_nothing_and_sees_no_secret() -> None:
    assert not {p for p in PERMISSIONS[Role.supervisor] if p.value.split(":")[1] not in ("read",)}


def test_the_administrator_may_everything() -> None:
    assert PERMISSIONS[Role.administrator] == frozenset(Permission)


def test_ids_sort_by_time_and_are_told_from_names() -> None:
    made = [new_id("app") for _ in range(100)]
    assert len(set(made)) == 100
    assert all(is_id(i) for i in made)
    assert not any(is_id(n) for n in ("app", "app-1", "app_1", "APP_06h0fgy4aawpehwr0jx3", made[0] + "\n", ""))
    assert [i[:11] for i in made] == sorted(i[:11] for i in made)
