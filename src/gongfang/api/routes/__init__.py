"""The endpoints, a module a noun: each reads its parameters, calls one operation and presents what it answers."""

from gongfang.api.endpoint import Endpoint
from gongfang.api.routes import (
    access,
    apps,
    bindings,
    certificates,
    domains,
    egress,
    events,
    housekeeping,
    lifecycle,
    logs,
    operations,
    packages,
    platform,
    quotas,
    service_keys,
    services,
    tasks,
    tree,
    users,
    webhooks,
)

ROUTES: list[Endpoint] = [
    route
    for part in (
        apps,
        lifecycle,
        packages,
        tasks,
        logs,
        domains,
        certificates,
        operations,
        events,
        webhooks,
        access,
        users,
        tree,
        egress,
        quotas,
        services,
        service_keys,
        bindings,
        platform,
        housekeeping,
    )
    for route in part.routes.routes
] + platform.bare.routes
