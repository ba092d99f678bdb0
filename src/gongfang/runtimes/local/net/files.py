"""What a workload with a network of its own finds in /etc. Pure."""

from ipaddress import IPv4Address


def resolv_conf(host: str, gateway: IPv4Address) -> bytes:
    """The machine's own, but the names are asked of the gateway."""
    kept = [line for line in host.splitlines() if line.split(maxsplit=1)[:1] in (["search"], ["domain"], ["options"])]
    return "".join(f"{line}\n" for line in (f"nameserver {gateway}", *kept)).encode()


def hosts(host: str, hostname: str) -> bytes:
    """The machine's own, and the workload's name for itself: many programs look that up when they start. Where a
    program listens on that name, requests reach it, since they go to loopback."""
    return f"127.0.0.1 localhost {hostname}\n::1 localhost\n{host}".encode()


def upstreams(host: str) -> list[str]:
    """The resolvers that a `resolv.conf` names."""
    words = [line.split() for line in host.splitlines()]
    return [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
