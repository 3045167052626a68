"""The moderation API as this service has it: for whom it is, and how much of it an account may ask."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import aiohttp
from playhouse.apsw_ext import APSWDatabase

from communities.access import Site
from labeler.vocabulary import Declared
from lexicons.catalog import moderation_documents
from models.group import GroupWriter
from ozone.appview import AppView
from ozone.methods import OzoneMethods
from ozone.sources import Sources
from service.config import Config
from service.forwarding import forwards_allowed
from xrpc.auth import ServiceAuth
from xrpc.lexicon import Catalog
from xrpc.ratelimit import RateLimit
from xrpc.resolver import DidResolver

READS_PER_SECOND, READS_BURST = 10.0, 300
WRITES_PER_SECOND, WRITES_BURST = 10.0, 600
"""Somebody may act on all that is on a screen at once, and clients do so call by call."""


def moderating(
    config: Config,
    database: APSWDatabase,
    writer: GroupWriter,
    declared: Callable[[], Sequence[Declared]],
    resolver: DidResolver,
    session: aiohttp.ClientSession,
    site: Mapping[str, Site],
    key: bytes,
    counts: Counter[str],
    clock: Callable[[], float],
) -> OzoneMethods | None:
    """The moderation API of the labelers; None without one. `session`: the guarded way out; `site`: whom the settings
    name; `key`: of cursors.
    """
    if not declared():
        return None
    appview = AppView(session, config.appview_url, clock)
    return OzoneMethods(
        database,
        writer,
        lambda audiences: ServiceAuth(resolver, audiences),
        Catalog(moderation_documents(), partial=True),
        declared,
        site=site,
        key=key,
        appview_url=config.appview_url,
        resolvable=resolver.can_resolve,
        appview=appview,
        sources=Sources(appview, resolver, session, clock),
        reads=RateLimit(READS_PER_SECOND, READS_BURST),
        writes=RateLimit(WRITES_PER_SECOND, WRITES_BURST),
        counts=counts,
        forwards=forwards_allowed(config),
        clock=clock,
    )
