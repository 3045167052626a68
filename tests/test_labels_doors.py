"""Who a labeler says that it is, what is there with a file of labelers and without one, and a label from its issue to a
subscriber through the service's own publisher.
"""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from communities.toml_file import DeclarationError
from labeler.issue import Wanted, issue
from labeler.label import check
from labeler.labels_file import read_labels
from models import labelers
from models.database import writing
from service.config import Config
from service.wiring import serving
from tests.feed_site import HOST, SERVICE, make_config
from tests.service_process import PATIENCE
from tests.stream_site import (
    FIRST,
    FIRST_HOST,
    PUBLIC,
    QUERY,
    SECOND,
    SECOND_HOST,
    START,
    STREAM,
    Labels,
    Site,
    configure,
    declaration,
    label,
    labels_in,
    served,
)
from tests.test_labels_stream import metrics, until_subscribed
from xrpc.key import parse_did_key


async def document(site: Site, name: str, host: str) -> tuple[int, Any]:
    """A document of /.well-known/, at a host."""
    url = f"http://127.0.0.1:{site.port}/.well-known/{name}"
    async with site.client.get(url, headers={"Host": host}) as answer:
        assert answer.status != 200 or answer.headers["Access-Control-Allow-Origin"] == "*"
        return answer.status, await answer.json()


async def test_metadata_of_each_labeler(tmp_path: Path) -> None:
    config = configure(tmp_path)
    with labels_in(config) as labels:
        async with served(config) as site:
            said = {"did": FIRST, "url": f"https://{FIRST_HOST}", "publicKey": PUBLIC}
            for host in (FIRST_HOST, FIRST_HOST.upper(), "elsewhere.example"):
                assert await document(site, "ozone-metadata.json", host) == (200, said)
            status, body = await document(site, "ozone-metadata.json", SECOND_HOST)
            assert (status, body["error"]) == (404, "NotFound")
            labels.run("UPDATE label_key SET state = 'held'")
            assert await document(site, "ozone-metadata.json", FIRST_HOST) == (200, said)
            labels.run("UPDATE label_key SET state = 'retired'")
            assert (await document(site, "ozone-metadata.json", FIRST_HOST))[0] == 404


async def test_the_document_of_a_labeler_that_is_did_web(tmp_path: Path) -> None:
    did, other = "did:web:labels.example.org", "did:web:second.example.org%3A8443"
    config = configure(tmp_path, declaration((did, FIRST_HOST), (other, SECOND_HOST)))
    with labels_in(config) as labels:
        labels.run("UPDATE label_key SET labeler = ?", labelers.enter(labels.connection, did))
        async with served(config) as site:
            _, body = await document(site, "did.json", FIRST_HOST)
            assert body["id"] == did
            assert body["service"] == [
                {"id": "#atproto_labeler", "type": "AtprotoLabeler", "serviceEndpoint": f"https://{FIRST_HOST}"}
            ]
            (method,) = body["verificationMethod"]
            assert method == {
                "id": f"{did}#atproto_label",
                "type": "Multikey",
                "controller": did,
                "publicKeyMultibase": PUBLIC.removeprefix("did:key:"),
            }
            _, body = await document(site, "did.json", SECOND_HOST)
            assert body["id"] == other and "verificationMethod" not in body
            _, body = await document(site, "did.json", HOST)
            assert body["id"] == SERVICE and [one["id"] for one in body["service"]] == ["#bsky_fg", "#communities"]


async def test_the_services_own_document_when_it_labels(tmp_path: Path) -> None:
    config = configure(tmp_path, declaration((SERVICE, HOST)))
    with labels_in(config) as labels:
        labels.run("UPDATE label_key SET labeler = ?", labelers.enter(labels.connection, SERVICE))
        async with served(config) as site:
            _, body = await document(site, "did.json", HOST)
            assert [one["id"] for one in body["service"]] == ["#bsky_fg", "#communities", "#atproto_labeler"]
            assert body["verificationMethod"][0]["id"] == f"{SERVICE}#atproto_label"
            assert len(body["@context"]) == 2


async def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    config = make_config(tmp_path, labels=str(tmp_path / "none.toml"), plc_url="http://localhost:1")
    async with served(config) as site:
        assert not [one for one in threading.enumerate() if one.name in ("publisher", "labels report_0")]
        for method in (QUERY, STREAM):
            async with site.client.get(site.url(method)) as answer:
                assert (answer.status, (await answer.json())["error"]) == (501, "MethodNotImplemented")
        assert (await document(site, "ozone-metadata.json", HOST))[0] == 404
        _, body = await document(site, "did.json", HOST)
        assert [one["id"] for one in body["service"]] == ["#bsky_fg", "#communities"]
        assert await metrics(site) == {}
    assert not list(config.data.glob("labels*"))


async def test_a_labeler_that_is_not_declared_any_more_is_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configure(tmp_path)

    async def told() -> list[str]:
        caplog.clear()
        async with serving(config):
            pass
        return [line.getMessage() for line in caplog.records if "was a labeler" in line.getMessage()]

    assert await told() == []
    config.labels.write_text(declaration((FIRST, FIRST_HOST)), encoding="utf-8")
    assert await told() == [
        f"{SECOND} was a labeler of this service, and {config.labels} does not declare it: its labels are not served"
    ]
    config.labels.unlink()
    assert [line.split(" was ")[0] for line in await told()] == [FIRST, SECOND]
    assert f"and {config.labels} does not exist: its labels are not served" in caplog.text


async def test_a_file_with_a_fault_stops_the_start(tmp_path: Path) -> None:
    config = configure(tmp_path, declaration((FIRST, FIRST_HOST)).replace("inform", "shout"))
    with pytest.raises(DeclarationError, match=r"labels\.toml"):
        async with serving(config):
            pass
    assert not config.database.exists()


def give_key(config: Config) -> None:
    """What `communities labeler init` leaves behind."""
    with labels_in(config) as labels:
        assert labels.rows() == []


async def test_a_label_from_its_issue_to_a_subscriber(tmp_path: Path) -> None:
    """Issued by another process, published by the service, read through both doors."""
    config = configure(tmp_path, declaration((FIRST, FIRST_HOST)))
    give_key(config)
    (declared,) = read_labels(config.labels).labelers
    async with served(config) as site, site.subscriber() as one:
        labels = Labels(config, key=False)
        await until_subscribed(site, 1)
        wanted = Wanted(labelers.enter(labels.connection, FIRST), FIRST, label(1).uri, actor="cli")
        for number, step in enumerate(("add", "remove")):
            with writing(labels.database) as connection:
                given: dict[str, Any] = {step: ("spoiler",)}
                issue(connection, declared, wanted._replace(**given), START + number)
            message = await one.next()
            ((seq, signed),) = labels.rows()
            assert message.seq == seq and check(signed, parse_did_key(PUBLIC))
            assert message.said["labels"][0].get("neg", False) == (step == "remove")
            _, body = await site.ask("uriPatterns=*")
            assert body["cursor"] == str(seq) and len(body["labels"]) == 1
        assert (await metrics(site))["published"] == 2
        labels.database.close()


async def test_after_a_new_key_what_stands_is_signed_anew(tmp_path: Path) -> None:
    """In the background, by the publisher: `seq` stays, and whoever reads sees the new signature."""
    config = configure(tmp_path, declaration((FIRST, FIRST_HOST)), labeler_passphrase="correct horse battery")
    with labels_in(config) as labels:
        labels.fill(1200)
        before = labels.rows()
        old = labelers.add_key(labels.connection, labelers.enter(labels.connection, FIRST), "did:key:zOld", None, 1)
        labelers.change_state(labels.connection, old, labelers.NEW, labelers.RETIRED)
        labels.run("UPDATE label SET label_key = ?, signed = ?", old, before[0][1])
    labels = Labels(config, key=False)
    async with served(config):
        end = time.monotonic() + 30 * PATIENCE
        while labels.run("SELECT 1 FROM label WHERE label_key = ? LIMIT 1", old):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
    assert labels.rows() == before
    labels.database.close()
