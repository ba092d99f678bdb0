"""What the store keeps of rows is given again only while the rows are the same."""

from gongfang.domain.values import App
from tests.api.conftest import Api, World, new_name


def _app(admin: Api) -> str:
    return admin.data("POST", "/apps", 201, json={"name": new_name()})["id"]


def test_the_same_object_until_the_row_is_another(world: World, admin: Api) -> None:
    key, database = _app(admin), world.services.database

    async def read() -> App:
        async with database.reading() as tx:
            found = await tx.one(App, key)
            assert found is not None
            return found

    async def rename(name: str) -> None:
        async with database.writing() as tx:
            await tx.update(App, key, name=name)

    first = world.do(read())
    assert world.do(read()) is first
    for name in (new_name(), new_name()):
        world.do(rename(name))
        assert world.do(read()).name == name
    world.do(rename(first.name))
    assert world.do(read()) == first
    assert world.do(read()) is not first, "another version of the row"


def test_a_transaction_sees_what_it_wrote_itself_and_nobody_else_does(world: World, admin: Api) -> None:
    """It writes the row twice under one number of a transaction, and is rolled back in the end."""
    key, database = _app(admin), world.services.database

    class Rolled(Exception):
        pass

    async def scene() -> None:
        async with database.reading() as tx:
            before = await tx.one(App, key)
        assert before is not None
        try:
            async with database.writing() as tx:
                for name in (new_name(), new_name()):
                    await tx.update(App, key, name=name)
                    inside = await tx.one(App, key)
                    assert inside is not None
                    assert inside.name == name
                    async with database.reading() as other:
                        assert await other.one(App, key) is before
                raise Rolled
        except Rolled:
            pass
        async with database.reading() as tx:
            assert await tx.one(App, key) is before

    world.do(scene())


def test_lists_and_apps_show_each_change_at_once_in_each_language(admin: Api) -> None:
    key = _app(admin)

    def listed() -> dict[str, object]:
        items = admin.data("GET", "/apps", params={"limit": 500})["items"]
        return next(item for item in items if item["id"] == key)

    assert listed() == admin.data("GET", f"/apps/{key}")
    for value in ("one", "two"):
        admin.data("PATCH", f"/apps/{key}", json={"labels": {"value": value}})
        assert listed()["labels"] == {"value": value}
        assert listed() == admin.data("GET", f"/apps/{key}")
    domain = admin.data("POST", "/domains", 201, json={"domain": f"{new_name()}.example.com", "app_id": key})
    routes = listed()["routes"]
    assert domain["domain"] in [route["domain"] for route in routes]  # type: ignore[union-attr, index]
    assert listed() == admin.data("GET", f"/apps/{key}")
