"""What the edge is measured against: an Envoy with the shortest configuration that passes requests on, and nginx.

Both are started by hand, with as many workers as there are cores, and pass everything on to one address. They are put
into the control group of the platform's own Envoy, so that all have the same part of the machine.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.lab import HOST, Failed, free_port

CORES = os.cpu_count() or 2
_TYPE = "type.googleapis.com/envoy.extensions"


def envoy_config(port: int, backend: tuple[str, int]) -> str:
    """The shortest: a listener, a route to everything, a cluster of one address. All else as Envoy has it."""
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    address = {"socket_address": {"address": backend[0], "port_value": backend[1]}}
    return json.dumps(
        {
            "static_resources": {
                "listeners": [
                    {
                        "address": {"socket_address": {"address": HOST, "port_value": port}},
                        "enable_reuse_port": False,
                        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                    }
                ],
                "clusters": [
                    {
                        "name": "app",
                        "load_assignment": {
                            "cluster_name": "app",
                            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                        },
                    }
                ],
            }
        }
    )


def nginx_config(port: int, backend: tuple[str, int], folder: Path) -> str:
    return f"""
daemon off; worker_processes {CORES}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream app {{ server {backend[0]}:{backend[1]}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen {HOST}:{port}; keepalive_requests 1000000000;
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_set_header Host $http_host; }}
  }}
}}
"""


@contextmanager
def plain_envoy(executable: str, backend: tuple[str, int], folder: Path, beside: int) -> Iterator[tuple[int, int]]:
    """Port and process. `beside`: a process whose control group it joins."""
    port, config = free_port(), folder / "envoy.json"
    config.write_text(envoy_config(port, backend))
    command = [executable, "--config-path", str(config), "--concurrency", str(CORES)]
    with _running([*command, "--disable-hot-restart", "--log-level", "error"], port, beside) as pid:
        yield port, pid


@contextmanager
def nginx(backend: tuple[str, int], folder: Path, beside: int) -> Iterator[tuple[int, int] | None]:
    """The same; None where there is no nginx."""
    executable = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if executable is None:
        yield None
        return
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(nginx_config(port, backend, folder))
    with _running([executable, "-c", str(config), "-p", str(folder)], port, beside) as pid:
        yield port, pid


@contextmanager
def _running(command: list[str], port: int, beside: int) -> Iterator[int]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: _join(beside),  # noqa: PLW1509  (one thread only)
    )
    try:
        latest = time.monotonic() + 30
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > latest:
                raise Failed(f"{Path(command[0]).name} does not answer")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _join(beside: int) -> None:
    """Goes into the control groups for CPU that a process is in, where that is allowed."""
    for line in Path(f"/proc/{beside}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", *("cpu", "cpu,cpuacct", "cpuacct,cpu")):
            mounts = (
                [Path("/sys/fs/cgroup")]
                if not controllers
                else [Path("/sys/fs/cgroup", name) for name in (controllers, *controllers.split(","))]
            )
            for mount in mounts:
                with suppress(OSError):
                    (mount / path.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
                    break


def envoy_of(home: Path, run: Path) -> int:
    """The process of the platform's own Envoy."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            words = process.cmdline()
            if words and Path(words[0]).name == "envoy" and any(str(f) in " ".join(words) for f in (home, run)):
                return process.pid
    raise Failed("the platform's Envoy is not found")


def cpu_s(pid: int) -> float:
    """Of a process and its workers."""
    process = psutil.Process(pid)
    return sum(sum(p.cpu_times()[:2]) for p in (process, *process.children(recursive=True)))
