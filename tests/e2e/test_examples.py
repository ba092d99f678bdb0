"""Every example, deployed as its README says, read through the edge, scaled, stopped and destroyed without a trace."""

import http.client
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.conftest import Platform, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Example:
    """`page`: words of its page. `data`: a path that answers JSON, and a key (or index) that is in it. `command`: what
    `run` starts, and `says` what that prints. `started`, `stopped`: lines of its log."""

    folder: str
    page: str
    data: tuple[str, str]
    command: str
    says: str
    started: str
    stopped: str
    scale: tuple[str, ...] = ("2",)
    processes: tuple[str, ...] = ("web.0", "web.1")
    others: dict[str, str] = field(default_factory=dict)  # path: what it answers must have


ALL = (
    Example(
        "machine-dashboard-python",
        page="产线设备状态",
        data=("/machines", "machines"),
        command='python -c \'import feed; print(len(feed.Feed("3").report()), "machines")\'',
        says="12 machines",
        started="dashboard version 1 on port",
        stopped="stopped",
    ),
    Example(
        "opcua-gateway-node",
        page="OPC UA",
        data=("/api/values/plant/line3/press1/force", "sourceTimestamp"),
        command="node -p 'process.env.NODE_ENV'",
        says="production",
        started="gateway of 8 OPC UA nodes",
        stopped="stopped",
    ),
    Example(
        "oee-report-java",
        page="OEE",
        data=("/api/oee?planned=450&stops=45&cycle=12&total=1800&rejected=20", "oee"),
        command="ls .gongfang/classes",
        says="OeeReport.class",
        started="OEE of the lines",
        stopped="stopped",
        others={"/report.csv": "产线 line", "/api/shifts": '"stops"'},
    ),
    Example(
        "energy-meter-go",
        page="能耗监测",
        data=("/api/meters", "meters"),
        command="ls .gongfang/bin",
        says="app",
        started="8 meters on port",
        stopped="stopped",
        others={"/metrics": 'plant_energy_kwh_total{meter="M-01",band="valley"}'},
    ),
    Example(
        "line-board-static",
        page="产线安灯看板",
        data=("/board.json", "stations"),
        command="caddy version",
        says="v2",
        started="serving initial configuration",
        stopped="shutdown complete",
        others={"/board.js": "simulate"},
    ),
    Example(
        "alarm-worker-python",
        page="报警中心",
        data=("/api/alarms", "alarms"),
        command="python -c 'import alarms; print(len(alarms.alarms_between(0, 3600)), \"alarms\")'",
        says="alarms",
        started="Listening at",
        stopped="worker stopped, 0 messages undelivered",
        scale=("web=2", "worker=1"),
        processes=("web.0", "web.1", "worker.0"),
    ),
)


def test_every_example_is_tried_here() -> None:
    assert sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir()) == sorted(example.folder for example in ALL)


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.folder)
def test_the_life_of_an_example(platform: Platform, tmp_path: Path, name: str, example: Example) -> None:
    folder = tmp_path / example.folder
    shutil.copytree(EXAMPLES / example.folder, folder, ignore=shutil.ignore_patterns("node_modules", ".gongfang"))
    host = platform.host(name)

    platform.cli("deploy", "--app", name, cwd=folder, timeout=170)
    _read(platform, host, example)

    assert example.says in platform.cli("run", name, "--", example.command).stdout
    assert example.started in platform.cli("logs", name).stdout

    platform.cli("scale", name, *example.scale)
    running = platform.json("ps", name)
    assert sorted(f"{i['process']}.{i['index']}" for i in running) == sorted(example.processes)
    assert {i["state"] for i in running} == {"ready"}

    platform.cli("stop", name)
    assert platform.get(host)[0] == 503
    assert example.stopped in platform.cli("logs", name).stdout
    assert not [i["reason"] for i in platform.json("ps", name, "--ended") if i["reason"]]

    mine = _ids(platform, name)
    platform.cli("apps", "destroy", name, "--yes")
    wait_until(lambda: not _left(platform, mine), timeout=10)
    assert platform.get(host)[0] == 404


def test_a_dashboard_is_live_and_its_readers_do_not_hold_up_a_new_version(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "dashboard"
    shutil.copytree(EXAMPLES / "machine-dashboard-python", folder)
    platform.cli("deploy", "--app", name, cwd=folder)
    stream = http.client.HTTPConnection("127.0.0.1", platform.edge_port, timeout=20)
    try:
        stream.request("GET", "/events", headers={"Host": platform.host(name)})
        answer = stream.getresponse()
        assert answer.getheader("content-type", "").startswith("text/event-stream")
        (folder / "VERSION").write_text("2\n")
        platform.cli("deploy", cwd=folder)  # the old instance goes when the reader's stream has ended, soon and whole
        events = re.findall(r"^data: (.*)$", answer.read().decode(), re.MULTILINE)
    finally:
        stream.close()
    assert len(events) > 1
    assert {json.loads(event)["version"] for event in events} == {"1"}
    assert platform.get(platform.host(name))[1]["x-version"] == "2"


def _read(platform: Platform, host: str, example: Example) -> None:
    status, headers, body = platform.get(host)
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/html")
    assert example.page in body.decode()
    path, key = example.data
    status, _, body = platform.get(host, path)
    assert status == 200, body
    assert json.loads(body)[key]
    for path, words in example.others.items():
        assert words in platform.get(host, path)[2].decode()
    for path in ("/no-such-page", "/gongfang.toml", "/Procfile"):
        assert platform.get(host, path)[0] == 404


def _ids(platform: Platform, name: str) -> set[str]:
    """Of the app and of all that ever ran for it."""
    found = [
        platform.json("apps", "show", name),
        *platform.json("ps", name, "--ended"),
        *platform.json("builds", name),
        *platform.json("tasks", name),
    ]
    return {each["id"] for each in found}


def _left(platform: Platform, ids: set[str]) -> list[str]:
    """Folders of the home, control groups and processes that are theirs."""
    kept = [platform.home / "runtime" / "workloads", platform.home / "builds", platform.home / "cache"]
    folders = [str(path) for top in kept if top.is_dir() for path in top.iterdir() if path.name in ids]
    groups = [str(path) for path in CGROUPS.glob("*/gongfang-*/*") if path.name in ids]
    return folders + groups + [words for words in platform.processes() if any(each in words for each in ids)]
