"""tools.ozone.server.getConfig: what a client must know before its first screen.

`pds` stays away: it would show buttons for takedowns of accounts and for e-mail, which only a PDS can do. So do
`blobDivert`, `chat` and `verifierDid`, of which there is nothing here.
"""

from collections.abc import Mapping
from typing import Any

from ozone.visit import Answer, Query, Visit
from xrpc.params import Params


def get_config(visit: Visit, _: Mapping[str, Any]) -> Answer:
    """Where the AppView is, and the highest role of who asks."""
    return {"appview": {"url": visit.appview_url}, "viewer": {"role": visit.role.token}}


QUERIES = (Query("server.getConfig", Params(), get_config),)
PROCEDURES = ()
