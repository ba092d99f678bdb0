"""Who may what: the table of roles (clause 6) and the one function that decides. Pure.

| role | may |
|---|---|
| developer 开发人员 | read; upload packages, build, run tasks, read logs and variables |
| operator 运维人员 | all that the developer may; all of an app's life; domains, webhooks; reads services |
| service manager 服务管理人员 | middleware services and their bindings; reads apps |
| supervisor 监管人员 | reads everything but secrets; changes nothing |
| administrator 管理员 | everything, at the level it is bound to and below |
"""

from collections.abc import Iterable

from gongfang.domain.values import Level, Permission, Place, Role, RoleBinding

_P = Permission
_READ = frozenset({_P.app_read, _P.logs_read, _P.domain_read, _P.service_read, _P.metrics_read, _P.event_read})
_TREE = frozenset({_P.tree_read})

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.developer: _READ | _TREE | {_P.app_deploy, _P.app_secrets, _P.app_run},
    Role.operator: _READ
    | _TREE
    | {_P.app_deploy, _P.app_secrets, _P.app_run, _P.app_write, _P.app_operate, _P.domain_write, _P.webhook_write},
    Role.service_manager: _READ | _TREE | {_P.service_write},
    Role.supervisor: _READ | _TREE | {_P.user_read, _P.platform_read},
    Role.administrator: frozenset(Permission),
}


def covers(binding: RoleBinding, place: Place) -> bool:
    """Whether a binding reaches a place: it is bound there or above."""
    match binding.level:
        case Level.platform:
            return True
        case Level.tenant:
            return binding.scope_id is not None and binding.scope_id == place.tenant_id
        case Level.organization:
            return binding.scope_id is not None and binding.scope_id == place.organization_id
        case Level.space:
            return binding.scope_id is not None and binding.scope_id == place.space_id


def granted(bindings: Iterable[RoleBinding], scopes: Iterable[Permission], place: Place) -> frozenset[Permission]:
    """All that these bindings allow at a place, cut down to the token's scopes (none = no cut)."""
    allowed = frozenset[Permission]().union(*(PERMISSIONS[b.role] for b in bindings if covers(b, place)))
    limits = frozenset(scopes)
    return allowed & limits if limits else allowed
