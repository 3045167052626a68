import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.didnet import Account, DidNet, Signer, plc
from tests.service_process import PATIENCE
from xrpc.did import BadDocument, document_url, parse_document, parse_endpoint
from xrpc.egress import FetchError, egress_session
from xrpc.resolver import (
    STALE_FOR_ACTS,
    STALE_FOR_READS,
    DidBusy,
    DidInvalid,
    DidNotFound,
    DidRefreshRefused,
    DidResolver,
    DidUnavailable,
)

DID = plc(1)
PLC_URL = "https://plc.example.com"

REFUSED = [
    "", "did", "alice.example.com", "did:key:zQ3sh", "did:plc:", "did:plc:short", DID + "a", DID.upper(),
    DID + "#atproto", DID[:-1] + "1", DID + "\n", "did:web:", "did:web:example", "did:web:127.0.0.1",
    "did:web:0x7f000001", "did:web:EXAMPLE.com", "did:web:example.com:path", "did:web:example.com%3A22",
    "did:web:example.com%2Fx", "did:web:example.com#x", "did:web:example.com?x", "did:web:a@example.com",
    "did:web:example.com/x", "did:web:example.com%23", "did:web:[::1]", "did:web:.com", "did:web:a..com",
    "did:web:-a.com", "did:web:a.com.", "did:web:" + "a." * 126 + "com", "did:web:a.123", "did:web:a%00.com",
    "did:web:bücher.example.net", "did:web:host.local", "did:web:host.internal", "did:web:1.10.in-addr.arpa",
    "did:web:host.onion", "did:web:host.test", "did:web:host.invalid", "did:web:host.example", "did:web:host.localhost",
]  # fmt: skip


@pytest.mark.parametrize("did", REFUSED)
def test_s35_s111_never_looked_up(did: str) -> None:
    assert document_url(did, PLC_URL) is None
    assert document_url(did, PLC_URL, ("localhost",)) is None


def test_where_documents_are() -> None:
    assert document_url(DID, PLC_URL) == f"{PLC_URL}/{DID}"
    assert document_url("did:web:a.example.com", PLC_URL) == "https://a.example.com/.well-known/did.json"


def test_s110_development_hosts() -> None:
    did = "did:web:localhost%3A3000"
    assert document_url(did, PLC_URL) is None
    assert document_url(did, PLC_URL, ("localhost",)) == "http://localhost:3000/.well-known/did.json"
    assert document_url("did:web:127.0.0.1%3A3000", PLC_URL, ("localhost",)) is None


@pytest.mark.parametrize(
    "url",
    ["http://pds.example.com", "https://u@pds.example.com", "https://u:p@pds.example.com", "https://pds.example.com/x"]
    + [
        "https://pds.example.com?x",
        "https://pds.example.com#x",
        "javascript:alert(1)",
        "//pds.example.com",
        "",
        None,
        1,
    ]
    + ["https://pds.example.com:6379", "https://pds.example.com\n", "https://" + "a" * 400, ["https://a.com"], {}],
)
def test_s110_s113_endpoints_refused(url: object) -> None:
    assert parse_endpoint(url) is None


def test_endpoints() -> None:
    assert parse_endpoint("https://pds.example.com/") == "https://pds.example.com"
    assert parse_endpoint("http://localhost:2583", development=True) == "http://localhost:2583"


@pytest.mark.parametrize("document", [None, [], "x", {}, {"id": plc(2)}, {"id": 1}, {"id": DID + "#atproto"}])
def test_s38_a_document_of_another_did(document: object) -> None:
    with pytest.raises(BadDocument):
        parse_document(DID, document)


def test_a_whole_document() -> None:
    account = Account(DID)
    document = parse_document(DID, account.document())
    assert (document.did, document.handle, document.pds) == (DID, "alice.example.com", "https://pds.example.com")
    assert document.key is not None and document.key.point == account.signer.uncompressed


def test_s38_the_first_valid_signing_key_is_taken() -> None:
    first, second = Signer("ES256K"), Signer("ES256")

    def method(**changes: Any) -> dict[str, Any]:
        good = {"id": "#atproto", "type": "Multikey", "controller": DID, "publicKeyMultibase": first.multikey}
        return good | changes

    for bad in (
        method(id="#atproto_label"), method(id="atproto"), method(id=plc(2) + "#atproto"), method(id=1),
        method(controller=plc(2)), method(controller=None), method(publicKeyMultibase="zzz"), method(type="X"),
        1, None, [],
    ):  # fmt: skip
        alone = parse_document(DID, {"id": DID, "verificationMethod": [bad]})
        assert alone.key is None
        both = [bad, method(id=DID + "#atproto", publicKeyMultibase=second.multikey), method()]
        document = parse_document(DID, {"id": DID, "verificationMethod": both})
        assert document.key is not None and document.key.point == second.uncompressed


def test_s113_many_services_and_bad_ones() -> None:
    bad = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "javascript:alert(1)"}
    good = bad | {"serviceEndpoint": "https://pds.example.com"}
    feed = {"id": DID + "#bsky_fg", "type": "BskyFeedGenerator", "serviceEndpoint": "https://feeds.example.com"}
    document = parse_document(DID, {"id": DID, "service": [bad, 1, {}, feed, good] + [good] * 10_000})
    assert document.pds == "https://pds.example.com"
    assert (document.services[0].id, document.services[0].endpoint) == ("#bsky_fg", "https://feeds.example.com")
    assert len(document.services) <= 100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([DID, "#atproto", "Multikey"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "type", "controller", "publicKeyMultibase", "serviceEndpoint"]), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["alsoKnownAs", "verificationMethod", "service"]), json_values))
def test_any_document_is_read_without_a_crash(document: dict[str, Any]) -> None:
    assert parse_document(DID, {"id": DID, **document}).did == DID


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    net: DidNet
    resolver: DidResolver
    clock: Clock


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = Clock()
    async with DidNet() as net, egress_session(("localhost",)) as session:
        resolver = DidResolver(session, net.url, allow=("localhost",), clock=clock, timeout=PATIENCE, capacity=50)
        yield World(net, resolver, clock)
        await resolver.close()


async def test_documents_are_cached_and_expire(world: World) -> None:
    world.net.publish(Account(DID))
    assert world.resolver.cached(DID) is None
    document = await world.resolver.resolve(DID)
    assert await world.resolver.resolve(DID) is document and world.resolver.cached(DID) is document
    assert world.net.total == 1
    world.clock.now += 3600
    assert world.resolver.cached(DID) is None
    await world.resolver.resolve(DID)
    assert world.net.total == 2


async def test_did_web_is_resolved(world: World) -> None:
    world.net.publish(Account(world.net.web_did))
    assert (await world.resolver.resolve(world.net.web_did)).pds == "https://pds.example.com"


async def test_s36_absent_and_tombstoned_dids_are_remembered(world: World) -> None:
    for did, status in ((plc(2), 404), (plc(3), 410)):
        world.net.status = status
        for _ in range(3):
            with pytest.raises(DidNotFound):
                await world.resolver.resolve(did)
    assert world.net.total == 2
    world.net.status = 200
    world.net.publish(Account(plc(2)))
    world.clock.now += 121
    assert (await world.resolver.resolve(plc(2))).did == plc(2)


async def test_s38_a_foreign_document_is_invalid(world: World) -> None:
    world.net.answers[f"/{DID}"] = Account(plc(2)).document()
    with pytest.raises(DidInvalid):
        await world.resolver.resolve(DID)


async def test_s37_an_outage_is_not_remembered(world: World) -> None:
    world.net.publish(Account(DID))
    world.net.status = 503
    with pytest.raises(DidUnavailable):
        await world.resolver.resolve(DID)
    world.net.status = 200
    assert (await world.resolver.resolve(DID)).did == DID


async def test_f17_stale_documents_serve_while_the_directory_is_down(world: World) -> None:
    world.net.publish(Account(DID))
    document = await world.resolver.resolve(DID)
    world.net.status = 500
    world.clock.now += STALE_FOR_ACTS - 1
    for _ in range(5):
        assert await world.resolver.resolve(DID, max_stale=STALE_FOR_ACTS) is document
    assert world.net.total == 2, "a directory that is down is asked now and then, not by everybody"
    world.clock.now += 1
    with pytest.raises(DidUnavailable):
        await world.resolver.resolve(DID, max_stale=STALE_FOR_ACTS)
    assert await world.resolver.resolve(DID) is document
    world.clock.now += STALE_FOR_READS
    with pytest.raises(DidUnavailable):
        await world.resolver.resolve(DID)


async def test_a_document_that_is_gone_is_gone(world: World) -> None:
    world.net.publish(Account(DID))
    await world.resolver.resolve(DID)
    world.net.answers.clear()
    world.clock.now += 3600
    with pytest.raises(DidNotFound):
        await world.resolver.resolve(DID)


async def test_s118_one_look_up_for_many_callers(world: World) -> None:
    world.net.publish(Account(DID))
    world.net.gate = asyncio.Event()
    callers = [asyncio.create_task(world.resolver.resolve(DID)) for _ in range(50)]
    async with asyncio.timeout(5):
        while not world.net.total:
            await asyncio.sleep(0)
    callers[0].cancel()
    world.net.gate.set()
    answers = await asyncio.gather(*callers[1:])
    assert world.net.total == 1 and len({id(answer) for answer in answers}) == 1


async def test_s112_a_silent_directory_is_an_outage(world: World) -> None:
    world.net.gate = asyncio.Event()
    async with asyncio.timeout(5):
        with pytest.raises(DidUnavailable):
            await world.resolver.resolve(DID)
    world.net.gate.set()


async def test_s118_memory_and_look_ups_are_bounded(world: World) -> None:
    found = await asyncio.gather(*(world.resolver.resolve(plc(n)) for n in range(1000)), return_exceptions=True)
    assert {type(answer) for answer in found} == {DidNotFound, DidBusy}
    assert 200 <= world.net.total < 1000 and len(world.resolver) == 50
    world.clock.now += 1
    with pytest.raises(DidNotFound):
        await world.resolver.resolve(plc(2000))


async def test_s118_a_host_has_its_own_small_budget(world: World) -> None:
    world.net.publish(Account(world.net.web_did))
    world.net.publish(Account(DID))
    for _ in range(10):
        await world.resolver.resolve(world.net.web_did)
        world.resolver.forget(world.net.web_did)
    with pytest.raises(DidUnavailable):
        await world.resolver.resolve(world.net.web_did)
    assert (await world.resolver.resolve(DID)).did == DID
    world.clock.now += 1
    assert (await world.resolver.resolve(world.net.web_did)).did == world.net.web_did


async def test_s118_many_silent_hosts_leave_the_directory_its_connections(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of a thousand domains has a budget of its own; together they may take half of the connections."""
    asked: list[str] = []
    release = asyncio.Event()

    async def silent(session: object, url: str, **limits: object) -> Any:
        asked.append(url)
        await release.wait()
        raise FetchError("did not answer in time")

    monkeypatch.setattr("xrpc.resolver.fetch_json", silent)
    callers = [asyncio.create_task(world.resolver.resolve(f"did:web:host{n}.com")) for n in range(1000)]
    async with asyncio.timeout(5):
        while len(asked) < 50 or sum(caller.done() for caller in callers) < 950:
            await asyncio.sleep(0)
    assert len(asked) == 50
    monkeypatch.undo()
    world.net.publish(Account(DID))
    assert (await world.resolver.resolve(DID)).did == DID
    release.set()
    assert {type(end) for end in await asyncio.gather(*callers, return_exceptions=True)} == {DidBusy, DidUnavailable}
    monkeypatch.setattr("xrpc.resolver.fetch_json", silent)
    with pytest.raises(DidUnavailable):
        await world.resolver.resolve("did:web:another.com")
    assert len(asked) == 51  # places come back


async def test_s34_forced_refreshes_are_rare(world: World) -> None:
    world.net.publish(Account(DID))
    await world.resolver.resolve(DID)
    await world.resolver.resolve(DID, fresh=True)
    assert world.net.total == 2
    for _ in range(10):
        with pytest.raises(DidRefreshRefused):
            await world.resolver.resolve(DID, fresh=True)
    assert world.net.total == 2
    world.clock.now += 61
    await world.resolver.resolve(DID, fresh=True)
    assert world.net.total == 3


async def test_s34_forced_refreshes_have_a_budget_in_all(world: World) -> None:
    dids = [plc(n) for n in range(150)]
    answers = await asyncio.gather(*(world.resolver.resolve(did, fresh=True) for did in dids), return_exceptions=True)
    assert sum(isinstance(answer, DidRefreshRefused) for answer in answers) >= 90
    assert world.net.total <= 60


async def test_s96_forget_drops_the_document_and_the_look_up_under_way(world: World) -> None:
    old = world.net.publish(Account(DID))
    await world.resolver.resolve(DID)
    world.resolver.forget(DID)
    assert world.resolver.cached(DID) is None
    world.net.gate = asyncio.Event()
    late = asyncio.create_task(world.resolver.resolve(DID))
    async with asyncio.timeout(5):
        while world.net.total < 2:
            await asyncio.sleep(0)
    world.resolver.forget(DID)
    world.net.gate.set()
    assert (await late).key is not None
    assert world.resolver.cached(DID) is None
    world.net.publish(Account(DID, "ES256"))
    current = (await world.resolver.resolve(DID)).key
    assert current is not None and current.alg == "ES256" != old.signer.alg
