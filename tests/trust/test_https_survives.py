"""HTTPS of apps through renewals, the death of every part, and removal; and no key in clear anywhere in the home."""

import os
import signal
from pathlib import Path

from gongfang.client import Client
from tests.e2e.conftest import HELLO, wait_until
from tests.e2e.https_site import der, get, https_platform, leaf, papers
from tests.tls_papers import authority


def test_https_survives(tmp_path: Path) -> None:
    ca = authority()
    source = tmp_path / "hello"
    source.mkdir()
    (source / "app.py").write_text(HELLO)
    with https_platform(ca) as site:
        site.cli("deploy", "--app", "shop", cwd=source)
        host, own = site.host("shop"), "shop.example.cn"
        site.cli("certificates", "add", *papers(tmp_path, ca.sign("*.apps.localhost")), "--platform")
        site.cli("domains", "add", own, "--app", "shop")
        refused = site.cli("certificates", "add", *papers(tmp_path, ca.sign("other.example.cn")), check=False)
        assert refused.returncode == 1 and "other.example.cn" in refused.stderr
        mine = ca.sign(own, days=20)
        uploaded = site.json("certificates", "add", *papers(tmp_path, mine))
        site.cli("domains", "https", own, "redirect")
        wait_until(lambda: site.get(own)[0] == 308 and leaf(site.tls_port, host, ca) is not None)
        shown = next(r for r in site.json("apps", "show", "shop")["routes"] if r["domain"] == own)
        assert shown["url"] == f"https://{own}:{site.tls_port}/"
        with Client(site.url, site.token, pinned=str(site.folder / "api.pem")) as client:
            wait_until(lambda: "certificate:expiring" in {e.tag for e in client.events.list()})

        def served() -> bool:
            return get(site, own, ca)[0] == 200 and get(site, host, ca)[0] == 200 and site.get(own)[0] == 308

        site.kill_control_plane()
        assert served()
        site.up()
        assert served()
        envoy = next(
            pid
            for pid in (int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit())
            if _is_envoy(pid, site.home)
        )
        os.kill(envoy, signal.SIGKILL)
        wait_until(lambda: leaf(site.tls_port, own, ca) == der(mine), what="a new Envoy")
        wait_until(served)
        renewed = ca.sign(own)
        site.cli("certificates", "replace", uploaded["id"], *papers(tmp_path, renewed))
        wait_until(lambda: leaf(site.tls_port, own, ca) == der(renewed))
        for line in (mine.key_pem.splitlines()[1], renewed.key_pem.splitlines()[1]):
            for folder, _, names in os.walk(site.home):
                for file in (Path(folder) / name for name in names):
                    if file.is_file() and file.stat().st_size < 50_000_000:
                        assert line.encode() not in file.read_bytes(), file
        site.cli("certificates", "remove", uploaded["id"])
        wait_until(lambda: site.get(own)[0] == 200)  # nobody is sent to where nothing answers
        wait_until(lambda: leaf(site.tls_port, own, ca) is None)
        assert get(site, host, ca)[0] == 200


def _is_envoy(pid: int, home: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"/envoy") and any(str(home).encode() in word for word in words)
