"""Upkeep of the platform."""

from gongfang.client.http import WAIT_LIMIT
from gongfang.client.resources.base import Resource
from gongfang.wire.housekeeping import GcOut, KeysOut


class Housekeeping(Resource):
    """`client.housekeeping`: for administrators of the whole platform."""

    def gc(self, *, dry_run: bool = False) -> GcOut:
        """Clears away what is no longer needed; with `dry_run` it only says what that is."""
        answer = self._http.call("POST", "/platform/gc", params={"dry_run": dry_run}, longer=WAIT_LIMIT)
        return GcOut.model_validate(answer.data)

    def rotate_keys(self) -> KeysOut:
        """Seals every secret anew under a fresh key, and throws the older keys away."""
        return KeysOut.model_validate(self._http.call("POST", "/platform/keys/rotate", longer=WAIT_LIMIT).data)
