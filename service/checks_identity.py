"""Checks of `communities doctor` on names and records: who the service says it is, and who can see it."""

import asyncio
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

from service.checkup import (
    OTHER_SETTINGS,
    Finding,
    Patient,
    each_feed,
    fail,
    ok,
    services,
    skipped,
    summed,
    warn,
)
from service.generator import COLLECTION, changed_fields, declared_feeds, generator_record
from service.publish import orphaned
from xrpc.did import document_url
from xrpc.egress import is_public_address

EXPIRY_WARNING = 14
"""Days before the end of a certificate from which on it is a warning: renewal usually comes at 30."""


async def configuration(patient: Patient) -> Finding:
    """The settings and the declaration, as far as they can be judged by themselves."""
    config, found = patient.config, []
    if patient.undeclared:
        found.append(fail(patient.undeclared, f"correct {config.rules}"))
    if not is_public_name(config.hostname):
        seen = f"COMMUNITIES_HOSTNAME={config.hostname} is no name that the network can reach"
        found.append(fail(seen, "set COMMUNITIES_HOSTNAME to a domain that points to this service"))
    if config.publisher == config.did and config.did.startswith("did:web:"):
        seen = f"the publisher is {config.publisher}, the service itself, which has no repository"
        found.append(fail(seen, "set COMMUNITIES_PUBLISHER_DID to the DID of the account that publishes the feeds"))
    if not (config.handle and config.app_password):
        seen = "COMMUNITIES_HANDLE or COMMUNITIES_APP_PASSWORD is empty"
        found.append(warn(seen, "set both, so that `communities publish` can sign in"))
    for name, value in (("PRIVACY", config.privacy_url), ("TERMS", config.terms_url)):
        if not value:
            found.append(warn(f"COMMUNITIES_{name}_URL is empty", f"set COMMUNITIES_{name}_URL to a page of yours"))
    return summed(f"{len(patient.communities)} communities, {config.did}, published by {config.publisher}", found)


def is_public_name(hostname: str) -> bool:
    """Whether a did:web of this host can be looked up by others (no IP address, port or reserved name)."""
    return document_url(f"did:web:{hostname}", "") is not None


async def dns(patient: Patient) -> Finding:
    """The host name leads to public addresses only: a PDS or AppView refuses every other."""
    if patient.overridden:
        return skipped(f"--url asks {patient.url} instead of {patient.config.endpoint}")
    return await resolves(urlsplit("//" + patient.config.hostname).hostname or "")


async def resolves(host: str) -> Finding:
    """Whether a host name leads to public addresses only."""
    fix = f"point the A and AAAA records of {host} to the public address of this service"
    try:
        entries = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return fail(f"{host} does not resolve: {error.strerror}", fix)
    addresses = sorted({str(entry[4][0]) for entry in entries})
    if private := [address for address in addresses if not is_public_address(address)]:
        return fail(f"{host} leads to {', '.join(private)}, which the network cannot reach", fix)
    return ok(f"{host} -> {', '.join(addresses)}")


async def tls(patient: Patient) -> Finding:
    """The certificate is one that others accept, and not about to end."""
    if patient.overridden:
        return skipped(f"--url asks {patient.url} instead of {patient.config.endpoint}")
    parts = urlsplit(patient.config.endpoint)
    host, port = parts.hostname or "", parts.port or 443
    if parts.scheme == "http":
        return skipped(f"{patient.config.endpoint} is this machine itself, without TLS")
    return await certified(host, port)


async def certified(host: str, port: int) -> Finding:
    """Whether a server has a certificate that others accept and that is not about to end."""
    try:
        # In a thread, since asyncio leaves the socket of a failed handshake to the garbage collector.
        ends = await asyncio.to_thread(_certificate_end, host, port)
    except ssl.SSLCertVerificationError as error:
        fix = f"get a certificate for {host} that browsers accept, and serve its whole chain"
        return fail(f"the certificate of {host} is not accepted: {error.verify_message}", fix)
    except ssl.SSLError as error:
        return fail(f"{host}:{port} does not speak TLS: {error.reason}", "put a TLS proxy before the service")
    days = (ends - time.time()) / 86400
    if days < EXPIRY_WARNING:
        return warn(f"the certificate of {host} ends in {days:.0f} days", "see why it is not renewed by itself")
    return ok(f"the certificate of {host} is good for {days:.0f} days")


def _certificate_end(host: str, port: int) -> float:
    """When the certificate ends, in seconds since 1970. Raises ssl.SSLError when it is not accepted."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, port), timeout=8) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))


async def did_document(patient: Patient) -> Finding:
    """The DID document of the service leads feed requests to it, and calls of the methods of communities."""
    did, wanted = patient.config.did, patient.config.endpoint
    answer = await patient.document(did)
    if answer.status != 200 or not isinstance(answer.body, dict):
        fix = f"see why {answer.url} is not there; a proxy must pass it on to the service"
        return fail(f"{answer.problem()}, no DID document", fix)
    if answer.body.get("id") != did:
        seen = f"{answer.url} is the document of {answer.body.get('id')}, not of {did}"
        return fail(seen, OTHER_SETTINGS)
    found = []
    for fragment, kind, judged in (
        ("#bsky_fg", "BskyFeedGenerator", fail),
        ("#communities", "CommunitiesService", warn),
    ):
        entry = next((s for s in services(answer.body) if s.get("id") in (fragment, did + fragment)), None)
        fix = f"put the service {fragment} of type {kind} with endpoint {wanted} into the DID document"
        if entry is None:
            found.append(judged(f"{answer.url} has no service {fragment}", fix))
        elif entry.get("type") != kind or entry.get("serviceEndpoint") != wanted:
            other, endpoint = entry.get("type"), entry.get("serviceEndpoint")
            found.append(judged(f"{answer.url}: {fragment} is of type {other} with endpoint {endpoint}", fix))
    return summed(f"{did} -> {wanted}", found)


async def records(patient: Patient) -> Finding:
    """The record of every feed stands in the publisher's repository, and names this service."""
    config = patient.config
    if not patient.communities:
        return skipped("no community is declared")
    pds = await patient.publisher_pds()
    if pds is None:
        seen = f"the DID document of the publisher {config.publisher} names no PDS"
        return fail(seen, "set COMMUNITIES_PUBLISHER_DID to the DID of the account that publishes the feeds")
    standing = await _listed(patient, pds)
    found = []
    declared = declared_feeds(patient.communities)
    for feed in declared:
        slug = feed.rkey
        if slug not in standing:
            found.append(fail(f"{slug} has no record at {pds}", "run `communities publish`"))
            continue
        record = standing[slug][1]
        wanted = generator_record(feed, config.did, record.get("avatar"), record, "")
        if record.get("did") != config.did:
            seen = f"the record of {slug} names {record.get('did')}, not {config.did}"
            found.append(fail(seen, "run `communities publish --take-over`"))
        elif changed := changed_fields(record, wanted):
            found.append(warn(f"the record of {slug} differs in {', '.join(changed)}", "run `communities publish`"))
    for slug in orphaned(standing, config.did, {feed.rkey for feed in declared}):
        seen = f"{slug} is published and not declared"
        found.append(warn(seen, "run `communities unpublish --orphans`, or declare it again"))
    return summed(f"{len(declared)} records of {config.publisher} at {pds}", found)


async def _listed(patient: Patient, pds: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The feed records of the publisher, read as anybody can: rkey -> (cid, record)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    params = {"repo": patient.config.publisher, "collection": COLLECTION, "limit": "100"}
    while True:
        answer = await patient.get(f"{pds}/xrpc/com.atproto.repo.listRecords", params)
        if answer.status != 200:
            raise ValueError(answer.problem())
        page = {str(r["uri"]).rpartition("/")[2]: (str(r["cid"]), r["value"]) for r in answer.body["records"]}
        cursor = answer.body.get("cursor")
        if not page.keys() - found.keys() or not cursor:
            return found | page
        found |= page
        params["cursor"] = str(cursor)


async def appview(patient: Patient) -> Finding:
    """The AppView knows the feeds. It may be late or another one, so this only warns."""
    config = patient.config
    if not patient.communities:
        return skipped("no community is declared")

    async def ask(slug: str, uri: str) -> list[Finding]:
        answer = await patient.get(f"{config.appview_url}/xrpc/app.bsky.feed.getFeedGenerator", {"feed": uri})
        view = answer.body.get("view") if isinstance(answer.body, dict) else None
        if answer.status != 200 or not isinstance(view, dict):
            fix = "publish it; if it is, see whether the AppView hears the publisher's PDS"
            return [warn(f"{slug}: {answer.problem()}", fix)]
        if view.get("did") != config.did:
            seen = f"{slug} is taken for a feed of {view.get('did')}"
            return [warn(seen, "wait a minute after `communities publish`")]
        if not (answer.body.get("isOnline") and answer.body.get("isValid")):
            return [warn(f"{slug} is not seen as online and valid", "mend what the other checks say")]
        return []

    return summed(f"{config.appview_url} knows {patient.sample} feeds", await each_feed(patient, ask))
