"""Packages (clause 5.1(2)) and the builds made of them."""

from gongfang.blobs.interface import Blob
from gongfang.domain.errors import NotFound
from gongfang.domain.ids import new_id
from gongfang.domain.values import App, Build, Package, Permission
from gongfang.operations.context import Context, find_app
from gongfang.operations.shared import lock_app


async def may_upload(context: Context, ref: str) -> App:
    """The check before a body is read: nobody sends gigabytes to be refused at the end."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref, Permission.app_deploy)
    context.room()
    return app


async def record_package(context: Context, app_id: str, filename: str, blob: Blob) -> Package:
    """5.1(2). Ties stored bytes to the app as its newest package. Changes nothing that runs."""
    async with context.database.writing() as tx:
        app = await lock_app(tx, context, app_id, Permission.app_deploy)
        package = Package(
            id=new_id("pkg"),
            app_id=app.id,
            seq=await tx.newest_package_seq(app.id) + 1,
            filename=filename,
            size=blob.size,
            sha256=blob.sha256,
            created_at=context.clock(),
            created_by=context.caller.user.name,
        )
        await tx.insert(package)
        data = {"filename": filename, "size": blob.size, "sha256": blob.sha256}
        await context.event(tx, "app:package:upload", app=app, object_id=package.id, data=data)
        return package


async def list_packages(context: Context, ref: str, *, after: str | None = None, limit: int = 50) -> list[Package]:
    """Newest first."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        return await tx.find(Package, app_id=app.id, descending=True, after=after, limit=limit)


async def list_builds(context: Context, ref: str, *, after: str | None = None, limit: int = 50) -> list[Build]:
    """Newest first."""
    async with context.database.reading() as tx:
        app = await find_app(tx, context, ref)
        return await tx.find(Build, app_id=app.id, descending=True, after=after, limit=limit)


async def show_build(context: Context, build_id: str) -> Build:
    async with context.database.reading() as tx:
        build = await tx.one(Build, build_id)
        missing = NotFound("build_not_found", build=build_id)
        app = await tx.one(App, build.app_id) if build else None
        if build is None or app is None:
            raise missing
        context.require(Permission.app_read, app.place, missing=missing)
        return build
