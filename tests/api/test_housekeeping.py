"""Upkeep on a real database: what gc removes and keeps, races with uploads, secrets at rest, rotation, dumps."""

import asyncio
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from gongfang.blobs import ObjectBlobs
from gongfang.builders import DropletCache
from gongfang.domain.clock import Clock, utc_now
from gongfang.domain.errors import Conflict
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, AppConfig, Build, BuildState, Droplet, Package, Release, RuntimeName
from gongfang.reconcile.gc import Collector, GcActor, GcSettings
from gongfang.reconcile.keys import KeyRotation
from gongfang.reconcile.plans.retention import Policy
from gongfang.state import Database, Hub, Keyring, migrate
from gongfang.state.dump import DumpedTable, loading, snapshot
from gongfang.state.sealed import SEALED
from tests.api.conftest import Api, World, new_name
from tests.api.one_of_everything import Place

SECRET = "hunter2-in-clear"


@contextmanager
def _always() -> Iterator[bool]:
    yield True


@contextmanager
def _backup_under_way() -> Iterator[bool]:
    yield False


@dataclass
class Yard:
    """A collector on the API's database, with files of its own. Times of files are real, so grace periods are 0."""

    world: World
    admin: Api
    folder: Path
    blobs: ObjectBlobs
    droplets: DropletCache

    def collector(self, clearing: object = _always, clock: Clock = utc_now, **settings: object) -> Collector:
        given = {
            "cache": self.folder / "cache",
            "trash": self.folder / "trash",
            "policy": Policy(2, 2, 2),
            "blob_grace": timedelta(),
            "droplet_idle": timedelta(),
        }
        made = GcSettings(**{**given, **settings})  # pyright: ignore[reportArgumentType]
        services = self.world.services
        return Collector(
            services.database,
            self.world.runtime,
            self.blobs,
            self.droplets,
            clock,
            made,
            clearing,  # type: ignore[arg-type]
        )

    async def store(self, data: bytes) -> str:
        (self.folder / "file").write_bytes(data)
        blob = await self.blobs.put_file(self.folder / "file")
        self.blobs._stored.clear()  # as after a restart
        return blob.sha256

    async def app(self, releases: int) -> tuple[str, list[str]]:
        """An app with a package, build, droplet and release each, so many times; and the digests of its files."""
        now = utc_now()
        async with self.world.services.database.reading() as tx:
            app = (await tx.find(App, name=await asyncio.to_thread(self._name)))[0]
        digests: list[str] = []
        last = None
        for number in range(1, releases + 1):
            source, built = await self.store(os.urandom(2000)), await self.store(os.urandom(3000))
            digests += [source, built]
            package = Package(new_id("pkg"), app.id, number, "a.zip", 2000, source, now, None)
            droplet_id = new_id("drp")
            build = Build(
                new_id("bld"), app.id, package.id, RuntimeName.auto, BuildState.succeeded, now, droplet_id=droplet_id
            )
            droplet = Droplet(droplet_id, app.id, build.id, built, 3000, RuntimeName.static, {"web": "x"}, {}, (), now)
            config = AppConfig({"PASSWORD": SECRET})
            last = Release(
                *(new_id("rel"), app.id, number, droplet.id, package.id, number, config, "deploy", None, now, None, now)
            )
            async with self.world.services.database.writing() as tx:
                for value in (package, build, droplet, last):
                    await tx.insert(value)
        assert last is not None
        async with self.world.services.database.writing() as tx:
            await tx.update(App, app.id, target_release_id=last.id, current_release_id=last.id)
        return app.id, digests

    def _name(self) -> str:
        name = new_name("gc")
        self.admin.data("POST", "/apps", 201, json={"name": name})
        return name


@pytest.fixture
def yard(world: World, admin: Api, tmp_path: Path) -> Yard:
    async def make() -> Yard:
        blobs = ObjectBlobs(tmp_path / "spool", folder=tmp_path / "blobs", keep_free=0)
        droplets = DropletCache(tmp_path / "droplets", fetch=blobs.fetch, put=blobs.put_file)
        return Yard(world, admin, tmp_path, blobs, droplets)

    return world.do(make())


def test_a_dry_run_says_what_a_run_then_removes(world: World, yard: Yard) -> None:
    async def work() -> None:
        app_id, digests = await yard.app(5)
        loose = await yard.store(b"nobody's")
        promised = await yard.collector().run(dry_run=True)
        assert [await yard.blobs.exists(d) for d in digests] == [True] * 10
        done = await yard.collector().run()

        def own(items: tuple) -> list[tuple]:  # pyright: ignore
            return sorted((i.kind, i.id, i.size, i.why) for i in items if i.app_id == app_id or i.id == loose)

        assert own(promised.items) == own(done.items)
        counts = [i.kind for i in done.items if i.app_id == app_id]
        assert {kind: counts.count(kind) for kind in counts} == {"release": 3, "package": 3, "droplet": 3, "build": 3}
        assert sum(i.size for i in done.items if i.app_id == app_id) == 3 * 5000
        assert [await yard.blobs.exists(d) for d in digests] == [False] * 6 + [True] * 4
        assert not await yard.blobs.exists(loose)
        async with world.services.database.reading() as tx:
            assert sorted(r.number for r in await tx.find(Release, app_id=app_id)) == [4, 5]
            assert len(await tx.find(Droplet, app_id=app_id)) == 2
        again = await yard.collector().run()
        assert not [i for i in again.items if i.app_id == app_id or i.kind == "blob"]

    world.do(work())


def test_a_file_that_two_apps_have_stays_until_the_last_row_goes(world: World, yard: Yard) -> None:
    async def work() -> None:
        shared = await yard.store(b"the same")
        ids = []
        for _ in range(2):
            app_id, _ = await yard.app(1)
            ids.append(app_id)
            async with world.services.database.writing() as tx:
                await tx.insert(Package(new_id("pkg"), app_id, 90, "s.zip", 8, shared, utc_now(), None))
        for position, app_id in enumerate(ids):
            async with world.services.database.writing() as tx:
                for seq in (91, 92, 93):
                    digest = await yard.store(os.urandom(9))
                    await tx.insert(Package(new_id("pkg"), app_id, seq, "n.zip", 9, digest, utc_now(), None))
            done = await yard.collector().run()
            assert await yard.blobs.exists(shared) is (position == 0)
            sizes = [i.size for i in done.items if i.kind == "package" and i.app_id == app_id]
            assert sum(sizes) == (0 if position == 0 else 8) + 9

    world.do(work())


def test_killed_between_rows_and_files_the_next_run_ends_it(world: World, yard: Yard) -> None:
    async def work() -> None:
        app_id, digests = await yard.app(4)
        collector = yard.collector()
        await collector._shorten(app_id, Policy(2, 2, 2))  # and then kill -9
        assert all([await yard.blobs.exists(d) for d in digests])
        done = await yard.collector().run()
        assert {i.id for i in done.items if i.kind == "blob"} >= set(digests[:4])
        assert [await yard.blobs.exists(d) for d in digests] == [False] * 4 + [True] * 4

    world.do(work())


def test_what_is_being_uploaded_again_is_not_taken_away(world: World, yard: Yard) -> None:
    """The row comes after the file; the grace period is for that, and the store itself where the file was old."""

    async def work() -> None:
        old = await yard.store(b"uploaded long ago")
        os.utime(yard.blobs.path(old), (1, 1))
        assert (await yard.collector(blob_grace=timedelta(hours=1)).run(dry_run=True)).freed > 0
        await yard.blobs.put_file(yard.folder / "file")  # the same content, just now
        await yard.collector(blob_grace=timedelta(hours=1)).run()
        assert await yard.blobs.exists(old)
        for _ in range(20):  # whichever comes first, the file is there for the row
            os.utime(yard.blobs.path(old), (1, 1))
            yard.blobs._stored.clear()
            await asyncio.gather(
                yard.blobs.delete_unused(old, utc_now() - timedelta(hours=1)), yard.blobs.put_file(yard.folder / "file")
            )
            assert await yard.blobs.exists(old)

    world.do(work())


def test_while_a_backup_is_made_no_file_goes(world: World, yard: Yard) -> None:
    async def work() -> None:
        loose = await yard.store(b"in the backup, perhaps")
        done = await yard.collector(_backup_under_way).run()
        assert [p.code for p in done.problems] == ["gc_backup_under_way"]
        assert await yard.blobs.exists(loose)

    world.do(work())


def test_unpacked_droplets_and_caches(world: World, yard: Yard) -> None:
    async def work() -> None:
        app_id, digests = await yard.app(1)
        for name in (digests[1], "f" * 64):
            (yard.folder / "droplets" / name).mkdir()
            (yard.folder / "droplets" / name / "file").write_bytes(b"x" * 9000)
            os.utime(yard.folder / "droplets" / name, (1, 1))
        for name in (app_id, "app_gone"):
            (yard.folder / "cache" / name).mkdir(parents=True)
            (yard.folder / "cache" / name / "file").write_bytes(b"x" * 9000)
            os.utime(yard.folder / "cache" / name / "file", (1, 1))
            os.utime(yard.folder / "cache" / name, (1, 1))
        async with world.services.database.writing() as tx:
            await tx.update(App, app_id, desired="started")
            await tx.insert(Build(new_id("bld"), app_id, "pkg", RuntimeName.auto, BuildState.running, utc_now()))
        done = await yard.collector().run()
        assert {(i.kind, i.id) for i in done.items if i.kind in ("unpacked", "cache")} == {
            *(("unpacked", "f" * 64), ("cache", "app_gone")),
        }
        assert (yard.folder / "droplets" / digests[1]).is_dir()
        assert (yard.folder / "cache" / app_id).is_dir()
        assert list((yard.folder / "trash").iterdir()) == []

    world.do(work())


def test_a_clock_that_is_put_ahead_makes_no_row_old(world: World, yard: Yard, admin: Api) -> None:
    admin.data("POST", "/tokens", 201, json={"name": "t"}, headers={"idempotency-key": new_name("k")})

    async def rows(collector: Collector) -> set[str]:
        return {item.kind for item in (await collector.run(dry_run=True)).items} & {"answers", "operations"}

    before = yard.collector(clock=world.clock)
    world.clock.ahead = timedelta(days=3000)
    assert world.do(rows(before)) == set()
    assert "answers" in world.do(rows(yard.collector(clock=world.clock)))  # begun under that time


def test_it_leaves_an_event_with_totals_and_is_for_administrators(world: World, yard: Yard, admin: Api) -> None:
    async def work() -> None:
        await yard.store(b"twelve bytes")
        await yard.collector().run(actor=GcActor("usr_x", "li", "127.0.0.1", "req_x"))

    world.do(work())
    event = admin.data("GET", "/events?tag=platform:gc&limit=1")["items"][0]
    assert event["actor_name"] == "li"
    assert event["data"]["items"]["blob"] >= 1 and event["data"]["freed"] >= 12
    for path in ("/platform/gc", "/platform/keys/rotate"):
        assert admin.code("POST", path, 503) == "not_here"  # this API has nobody who would do it
        for role in ("developer", "operator", "supervisor"):
            _, client = world.user([{"role": role, "level": "platform", "scope_id": None}])
            assert client.code("POST", path, 403) == "forbidden"


def test_no_secret_stands_in_the_database_in_clear(world: World, admin: Api, postgres_url: str) -> None:
    name = new_name("clear")
    app = admin.data("POST", "/apps", 201, json={"name": name, "environment": {"PASSWORD": SECRET}})
    admin.request("PATCH", f"/apps/{app['id']}/environment", json={"variables": {"OTHER": f"{SECRET}2"}})
    user = {"name": new_name("u"), "password": f"{SECRET}-password"}
    user_id = admin.data("POST", "/users", 201, json=user, headers={"idempotency-key": new_name("k")})["id"]
    body = {"name": "t", "user_id": user_id}
    token = admin.data("POST", "/tokens", 201, json=body, headers={"idempotency-key": new_name("k")})["token"]
    assert admin.data("GET", f"/apps/{app['id']}/environment")["variables"]["PASSWORD"] == SECRET

    async def whole() -> bytes:
        found = bytearray()
        async with snapshot(postgres_url) as taken:
            for table in taken.tables:
                await taken.copy(table, found.extend)
        return bytes(found)

    data = world.do(whole())
    assert app["id"].encode() in data
    assert SECRET.encode() not in data
    assert token.encode() not in data
    assert hashlib.sha256(token.encode()).hexdigest().encode() in data


def test_whatever_is_sealed_is_known_to_the_rotation(world: World, admin: Api, postgres_url: str) -> None:
    """By what stands in the database once there is one of everything: a column that was forgotten would be lost."""
    ids = Place(world).shared
    admin.data("PATCH", f"/apps/{ids['app_id']}/environment", 202, json={"variables": {"A": SECRET}})
    admin.data("POST", "/tokens", 201, json={"name": "t"}, headers={"idempotency-key": new_name("k")})

    async def sealed() -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        async with world.services.database.writing() as tx:
            for release in await tx.find(Release, app_id=ids["app_id"]):
                await tx.update(Release, release.id, config=AppConfig({"A": SECRET}))
        async with snapshot(postgres_url) as taken:
            for table in taken.tables:
                rows = bytearray()
                await taken.copy(table, rows.extend)
                for row in bytes(rows).splitlines():
                    cells = zip(table.columns, row.split(b"\t"), strict=True)
                    found |= {(table.name, name) for name, cell in cells if re.search(rb"gAAAA[\w-]{60}", cell)}
        return found

    assert world.do(sealed()) == {(each.table, each.column) for each in SEALED}


def test_rotated_keys_seal_everything_and_the_old_one_opens_nothing(
    world: World, postgres_url: str, tmp_path: Path
) -> None:
    async def work() -> None:
        path = tmp_path / "keys"
        url = await fresh_database(postgres_url)
        await migrate(url)
        ring = Keyring.load(path)
        old = Keyring.load(path)
        database = Database(url, ring, Hub())
        try:
            await fill(database)
            rotation = KeyRotation(database, ring, path, utc_now, _always)
            with pytest.raises(Conflict) as refused:
                await KeyRotation(database, ring, path, utc_now, _backup_under_way).rotate(GcActor())
            assert refused.value.code == "keys_backup_under_way" and ring.count == 1

            # A writer that began before has sealed with the old key, and ends later.
            async with database.writing() as tx:
                app = (await tx.find(App))[0]
                await tx.update(App, app.id, config=AppConfig({"PASSWORD": "late"}))
                running = asyncio.create_task(rotation.rotate(GcActor()))
                while ring.count == 1:
                    await asyncio.sleep(0)
                assert not running.done()
            assert (await running).resumed is False
            assert Keyring.load(path).count == 1
            await opens(Database(url, Keyring.load(path), Hub()), {"late", SECRET})
            with pytest.raises(Exception):  # noqa: B017  (whatever the library says of a wrong key)
                await opens(Database(url, old, Hub()), set())

            # Killed after the key was added: the next one ends that.
            ring.add_key(path)
            assert (await rotation.rotate(GcActor())).resumed
            assert Keyring.load(path).count == 1
            ring.add_key(path)
            await rotation.resume()
            assert Keyring.load(path).count == 1
            await opens(Database(url, Keyring.load(path), Hub()), {"late", SECRET})
        finally:
            await database.close()

    world.do(work())


async def opens(database: Database, expected: set[str]) -> None:
    try:
        async with database.reading() as tx:
            found = [*(await tx.find(App)), *(await tx.find(Release))]
        assert {each.config.environment["PASSWORD"] for each in found} == expected
    finally:
        await database.close()


async def fresh_database(postgres_url: str) -> str:
    import asyncpg

    name = f"db_{os.urandom(6).hex()}"
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return postgres_url.replace("/postgres?", f"/{name}?")


async def fill(database: Database) -> None:
    from gongfang.operations.access import bootstrap

    await bootstrap(database, utc_now, "Asia/Shanghai")
    from gongfang.domain.values import AppType, DesiredState, Organization, Space, Tenant

    now = utc_now()
    async with database.writing() as tx:
        tenant, organization, space = (
            (await tx.find(Tenant))[0],
            (await tx.find(Organization))[0],
            (await tx.find(Space))[0],
        )
        app = App(
            *(new_id("app"), space.id, tenant.id, organization.id, "one", AppType.web, RuntimeName.auto, {}),
            *(DesiredState.started, {"web": 1}, AppConfig({"PASSWORD": SECRET}), None, 0, 1, now, now),
        )
        await tx.insert(app)
        for number in range(1, 450):  # more than two pieces
            release = Release(
                *(new_id("rel"), app.id, number, "drp", "pkg", 1, AppConfig({"PASSWORD": SECRET}), "deploy", None),
                *(now, None, now),
            )
            await tx.insert(release)


def test_a_dump_loaded_elsewhere_is_the_same_and_a_full_database_is_refused(world: World, postgres_url: str) -> None:
    async def work() -> None:
        source, target = await fresh_database(postgres_url), await fresh_database(postgres_url)
        await migrate(source)
        key = Fernet.generate_key()
        database = Database(source, Keyring([key]), Hub())
        try:
            await fill(database)
        finally:
            await database.close()
        before = await dumped(source)
        revision, tables, sequences = before[0], before[1], before[2]
        async with loading(target, revision, "mark1") as load:
            assert load is not None
            for table, data in tables.items():
                if data:
                    await load.piece(table, data)
            await load.sequences(sequences)
        assert await dumped(target) == before
        async with loading(target, revision, "mark1") as load:
            assert load is None  # the same restore, after a kill
        with pytest.raises(Conflict) as refused:
            async with loading(target, revision, "mark2"):
                pass
        assert refused.value.code == "restore_database_not_empty"

    async def dumped(url: str):  # pyright: ignore
        found: dict[DumpedTable, bytes] = {}
        async with snapshot(url) as taken:
            for table in taken.tables:
                data = bytearray()
                await taken.copy(table, data.extend)
                found[table] = b"".join(sorted(data.splitlines(keepends=True)))
            return taken.revision, found, await taken.sequences()

    world.do(work())
