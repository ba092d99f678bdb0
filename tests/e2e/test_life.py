"""An app's life, as its developer and operator see it: from `deploy` to `destroy`."""

import json
import re
from pathlib import Path

from tests.e2e.conftest import Platform, wait_until, write_version
from tests.e2e.load import Load


def page(platform: Platform, name: str) -> str:
    status, _, body = platform.get(platform.host(name))
    assert status == 200, (status, body)
    return body.decode()


def instances(platform: Platform, name: str) -> list[dict]:
    return platform.json("ps", name)


def test_deploy_alone_in_a_folder_creates_builds_starts_and_prints_the_address(
    platform: Platform, hello: Path, name: str
) -> None:
    done = platform.cli("deploy", "--app", name, cwd=hello)
    assert f"http://{name}.apps.localhost:{platform.edge_port}/" in done.stdout
    assert page(platform, name).startswith("v1 0")
    shown = platform.json("apps", "show", name)
    assert (shown["desired_state"], shown["state"], shown["instances_ready"]) == ("started", "running", 1)
    assert shown["routes"][0]["status"] == "active"
    write_version(hello, "v2")
    platform.cli("deploy", cwd=hello, check=True)  # the folder remembers its app
    assert page(platform, name).startswith("v2")


def test_the_standards_own_flow_over_http(platform: Platform, hello: Path, name: str) -> None:
    """5.1(1), (2), (3), (4), (6), (7) with nothing but their minimum parameters."""
    client = platform.client
    app = client.apps.create(name=name, type="web", runtime="python", domain=f"{name}.apps.localhost")
    uploaded = client.apps.upload(app.id, hello / "app.py")
    assert (uploaded.filename, uploaded.size) == ("app.py", (hello / "app.py").stat().st_size)
    started = client.apps.start(app.id, wait=60)
    assert started.operation.status == "succeeded"
    assert page(platform, name).startswith("v1")
    again = client.apps.start(app.id, wait=60)
    assert again.app.release == started.app.release  # nothing is newer
    scaled = client.apps.set_instances(app.id, instances=2, wait=60)
    assert scaled.app.instances_ready == 2
    client.apps.stop(app.id, wait=60)
    status, headers, _ = platform.get(platform.host(name))
    assert (status, headers["x-gongfang-reason"]) == (503, "app_stopped")
    client.apps.destroy(app.id, wait=60)
    status, headers, _ = platform.get(platform.host(name))
    assert (status, headers["x-gongfang-reason"]) == (404, "host_unknown")


def test_nothing_is_dropped_by_deploys_scaling_restarts_and_rollbacks(
    platform: Platform, hello: Path, name: str
) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    with Load(platform.edge_port, platform.host(name)) as load:
        write_version(hello, "v2")
        platform.cli("deploy", "--app", name, cwd=hello)
        platform.cli("scale", name, "web=4")
        platform.cli("restart", name)
        platform.cli("scale", name, "web=1", "--memory", "128")
        platform.cli("rollback", name)
        write_version(hello, "v3")
        platform.cli("deploy", "--app", name, cwd=hello)
    assert load.failures == []
    assert set(load.answers) == {"v1", "v2", "v3"}


def test_a_release_that_does_not_become_healthy_is_abandoned_with_its_output(
    platform: Platform, hello: Path, name: str
) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    (hello / "app.py").write_text("print('the valve table is missing')\nraise SystemExit(3)\n")
    with Load(platform.edge_port, platform.host(name)) as load:
        done = platform.cli("deploy", "--app", name, cwd=hello, check=False)
    assert done.returncode == 1
    assert "exit code 3" in done.stderr
    assert "the valve table is missing" in done.stdout + done.stderr
    assert load.failures == []
    assert set(load.answers) == {"v1"}
    assert platform.json("apps", "show", name)["state"] == "running"


def test_one_that_never_listens_times_out_and_says_so(platform: Platform, hello: Path, name: str) -> None:
    (hello / "app.py").write_text("import time\nprint('waiting for the PLC', flush=True)\ntime.sleep(600)\n")
    client = platform.client
    app = client.apps.create(name=name, processes={"web": {"start_timeout_s": 1.5}})
    client.apps.upload(app.id, hello / "app.py")
    done = platform.cli("start", name, check=False)
    assert done.returncode == 1
    assert "health check within 1.5 seconds" in done.stderr
    assert "connection refused" in done.stderr
    assert "waiting for the PLC" in done.stdout + done.stderr
    assert platform.json("apps", "show", name)["state"] in ("stopping", "stopped")


def test_a_crashed_instance_comes_back_with_its_reason_on_record(platform: Platform, hello: Path, name: str) -> None:
    source = (hello / "app.py").read_text()
    crash = 'if self.path == "/crash": print("boiler on fire", flush=True); os._exit(9)\n        if self'
    (hello / "app.py").write_text(source.replace("if self", crash, 1))
    platform.cli("deploy", "--app", name, cwd=hello)
    (first,) = instances(platform, name)
    platform.get(platform.host(name), "/crash")
    wait_until(lambda: [i["id"] for i in instances(platform, name) if i["state"] == "ready"] not in ([], [first["id"]]))
    assert page(platform, name).startswith("v1")
    ended = platform.client.apps.instances(platform.json("apps", "show", name)["id"], ended=True)
    (crashed,) = [i for i in ended if i.state == "crashed"]
    assert crashed.exit_code == 9
    assert "boiler on fire" in (crashed.last_output or "")


def test_out_of_memory_is_told_as_such(platform: Platform, hello: Path, name: str) -> None:
    if not any(g["name"] == "memory_limit" and g["enforced"] for g in platform.json("status")["guarantees"]):
        return
    (hello / "app.py").write_text("data = []\nwhile True:\n    data.append(bytes(8_000_000))\n")
    done = platform.cli("deploy", "--app", name, "--memory", "64", cwd=hello, check=False)
    assert done.returncode == 1
    assert "out of memory at its limit of 64 MB" in done.stderr


def test_environment_is_versioned_and_rolled_back_with_the_code(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, "--env", "MARK=one", cwd=hello)
    assert page(platform, name).endswith("one")
    platform.cli("env", "set", name, "MARK=two")
    assert page(platform, name).endswith("two")
    write_version(hello, "v2")
    platform.cli("deploy", "--app", name, cwd=hello)
    assert page(platform, name) == "v2 0 two"
    platform.cli("rollback", name, "1")
    assert page(platform, name) == "v1 0 one"
    releases = platform.json("releases", name)
    assert [r["number"] for r in releases] == [4, 3, 2, 1]
    assert releases[0]["from_release"] == 1


def test_run_gives_the_commands_output_and_exit_code(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, "--env", "MARK=hidden", cwd=hello)
    done = platform.cli("run", name, "--", "echo $MARK; ls; exit 7", check=False)
    assert done.returncode == 7
    assert "hidden" in done.stdout
    assert "app.py" in done.stdout


def test_logs_by_tail_and_instance(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    platform.cli("scale", name, "web=2")
    lines = platform.cli("logs", name).stdout.splitlines()
    assert sum("starting v1" in line for line in lines) == 2
    one = instances(platform, name)[0]["id"]
    assert platform.cli("logs", name, "--instance", one).stdout.count("starting v1") == 1


def test_workers_get_no_traffic_and_a_task_app_runs_to_its_end(platform: Platform, tmp_path: Path, name: str) -> None:
    worker = tmp_path / "worker"
    worker.mkdir()
    (worker / "main.py").write_text("import time\nprint('working', flush=True)\ntime.sleep(600)\n")
    platform.cli("deploy", "--app", name, "--type", "worker", cwd=worker)
    assert platform.get(platform.host(name))[0] == 404
    assert "working" in platform.cli("logs", name).stdout
    platform.cli("apps", "destroy", name, "--yes")
    (worker / "main.py").write_text("print('shift report written')\n")
    platform.cli("deploy", "--app", name, "--type", "task", cwd=worker)
    assert "shift report written" in platform.cli("logs", name).stdout
    assert platform.json("apps", "show", name)["state"] == "stopped"


def test_tenant_domains_are_attached_and_detached_at_runtime(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    domain = f"{name}.example.cn"
    platform.cli("domains", "add", domain, "--icp", "苏ICP备12345678号-1")
    assert platform.get(domain)[0] == 404
    platform.cli("domains", "attach", name, domain)
    wait_until(lambda: platform.get(domain)[0] == 200)
    assert platform.get(domain.upper())[0] == 200
    platform.cli("domains", "detach", name, domain)
    wait_until(lambda: platform.get(domain)[0] == 404)
    platform.cli("domains", "remove", domain, "--yes", check=False)


def test_names_never_match_by_prefix(platform: Platform, hello: Path, name: str) -> None:
    other = name + "2"
    try:
        platform.cli("deploy", "--app", name, cwd=hello)
        platform.cli("deploy", "--app", other, cwd=hello)
        platform.cli("stop", name)
        assert platform.get(platform.host(other))[0] == 200
        platform.cli("apps", "destroy", name, "--yes")
        assert platform.get(platform.host(other))[0] == 200
    finally:
        platform.cli("apps", "destroy", other, "--yes", check=False)


def test_a_package_that_nobody_knows_says_what_was_looked_for(platform: Platform, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "readme.txt").write_text("nothing to run")
    done = platform.cli("deploy", "--app", name, cwd=folder, check=False)
    assert done.returncode == 1
    assert re.search("readme.txt", done.stderr)


def test_a_build_and_its_progress_can_be_read_later(platform: Platform, hello: Path, name: str) -> None:
    platform.cli("deploy", "--app", name, cwd=hello)
    (build,) = platform.json("builds", name)
    assert (build["state"], build["runtime"]) == ("succeeded", "auto")
    assert "ython" in build["detected"]


def test_a_destroyed_app_leaves_nothing(platform: Platform, hello: Path, name: str) -> None:
    before = {w.name for w in platform.workloads()}
    platform.cli("deploy", "--app", name, cwd=hello)
    platform.cli("scale", name, "web=2")
    platform.cli("run", name, "--", "true")
    app_id = platform.json("apps", "show", name)["id"]
    platform.cli("apps", "destroy", name, "--yes")
    assert {w.name for w in platform.workloads()} <= before
    assert not any(app_id in words for words in platform.processes())
    listed = json.loads(platform.cli("apps", "--json").stdout)
    assert app_id not in [a["id"] for a in listed]
