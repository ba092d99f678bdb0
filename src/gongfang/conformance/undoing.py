"""Taking away all that was made.

What a POST made is remembered from its answer, whoever sent it, so that bad input that a server accepts is cleaned up
as well; at the end the apps are also looked for by their names, since a call whose answer was lost may have made one.
What could not be taken away is named.

What was there before the run is not touched, even if the server answers a POST with its id.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from gongfang.conformance.expect import Failure, resource
from gongfang.conformance.texts import Text
from gongfang.conformance.web import Answer, Call, at

if TYPE_CHECKING:
    from gongfang.conformance.world import World


@dataclass(slots=True)
class Undo:
    """What takes a thing away. Lower ranks first: what hangs on others before these."""

    rank: int
    call: Call


# what a POST at a path makes, and where that is destroyed: (rank, pattern, template, names in `data`)
_MAKES = (
    (0, r"/apps", "/apps/{id}", ("app",)),
    (1, r"/domains", "/domains/{id}", ("domain",)),
    (2, r"/spaces/[^/]+/service-instances", "/service-instances/{id}", ("service_instance", "instance")),
    (3, r"/organizations/([^/]+)/services", "/organizations/{scope}/services/{id}", ("service",)),
    (4, r"/credentials", "/credentials/{id}", ("credential",)),
    (4, r"/users", "/users/{id}", ("user",)),
)


@dataclass(slots=True)
class Undoing:
    """What was made, by the path that it is destroyed at. `kept`: ids that were there before, which stay."""

    undo: dict[str, Undo] = field(default_factory=dict[str, Undo])
    kept: set[str] = field(default_factory=set[str])

    def remember(self, answer: Answer) -> None:
        call = answer.call
        if call is None or call.method != "POST" or not answer.good:
            return
        for rank, pattern, template, names in _MAKES:
            match = re.fullmatch(pattern, call.path)
            if match is None:
                continue
            found = resource(answer.data, *names)
            value = cast("dict[str, Any]", found).get("id") if isinstance(found, dict) else None
            if isinstance(value, str) and value and value not in self.kept:
                scope = match.group(1) if match.groups() else ""
                path = template.replace("{scope}", scope).replace("{id}", at("{id}", id=value))
                self.undo.setdefault(path, Undo(rank, Call("DELETE", path)))


_LISTS = ("/apps", "/domains", "/service-instances", "/credentials", "/users")


def spare_what_is_there(world: "World") -> None:
    """Before the run. A list that the server does not have, or not as a list, spares nothing: what it should hold is
    then made by an interface that is missing or fails as well, or under names of this run alone."""
    for path in _LISTS:
        with suppress(Failure):
            ids = (item.get("id") for item in world.all_items(path))
            world.undoing.kept.update(value for value in ids if isinstance(value, str))


def clean_up(world: "World") -> list[Text]:
    """Destroys all that was made here; what is left, and why."""
    _find_lost(world)
    left: list[Text] = []
    for path, undo in sorted(world.undoing.undo.items(), key=lambda pair: pair[1].rank):
        why = _destroy(world, undo.call)
        if why is not None:
            left.append(Text("{path}: {why}", "{path}：{why}").fill(path=path, why=why))
    world.undoing.undo.clear()
    return left


def _find_lost(world: "World") -> None:
    """Apps of this run's names whose making was never answered."""
    try:
        for item in world.all_items("/apps"):
            name, identifier = item.get("name"), item.get("id")
            if isinstance(name, str) and name.startswith(f"conf-{world.nonce}-") and isinstance(identifier, str):
                path = at("/apps/{id}", id=identifier)
                world.undoing.undo.setdefault(path, Undo(0, Call("DELETE", path)))
    except Failure:
        return


def _destroy(world: "World", call: Call) -> Text | None:
    answer = world.web.send(call)
    if answer.status in (404, 410) and answer.code != "path_not_found":
        return None
    if not answer.good:
        return answer.seen
    try:
        world.finish(answer)
        if call.path.startswith("/apps/") or answer.status == 202:
            there = Call("GET", call.path)
            expected = Text("that it is gone", "已删除")
            world.eventually(lambda: world.web.send(there), lambda a: a.status in (404, 405, 410), expected)
    except Failure as failure:
        return failure.seen
    return None
