"""What a space's apps may reach."""

from collections.abc import Sequence

from gongfang.client.resources.base import Resource, part
from gongfang.wire.egress import EgressOut


class Egress(Resource):
    """`client.egress`."""

    def get(self, space_id: str) -> EgressOut:
        return self._get(f"/spaces/{part(space_id)}/egress", EgressOut)

    def set(self, space_id: str, *, internet: bool = True, allow: Sequence[str] = ()) -> EgressOut:
        """The whole policy, in place of the one that holds."""
        body = {"internet": internet, "allow": list(allow)}
        return EgressOut.model_validate(self._http.call("PUT", f"/spaces/{part(space_id)}/egress", json=body).data)
