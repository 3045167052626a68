"""Checks of `communities labeler doctor`: every link between a label that is decided and one that is shown.

The account's DID document must name the key and the server, the server must be there and say the same, its record must
declare what it says, and what it sends must bear the document's signature. Where one link is missing nothing fails
loudly: the labels are only never shown.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import libipld
from cbrrr import encode_dag_cbor

from labeler import identity
from labeler.label import check
from labeler.signing_key import KeyFaultError, KeyRing
from labeler.vocabulary import COLLECTION, MOST_BYTES, RKEY, Declared, record_bytes, service_record
from models.labelers import KeyRow
from service.checks_identity import certified, resolves
from service.checkup import Finding, Patient, fail, ok, services, skipped, summed, warn
from service.generator import changed_fields
from xrpc.key import PublicKey, parse_did_key

LONG = 24
"""Characters of a value from which on some clients cut it."""
_PUBLISH, _INIT = "run `communities labeler publish`", "run `communities labeler init`"
_KEYLESS = f"the DID document has no key #{identity.METHOD} to compare with; see `document`"
_PROXY = "let the proxy before the service pass on /xrpc/ and /.well-known/, with the headers Upgrade and Connection"


@dataclass
class LabelPatient(Patient):
    """The labeler under examination, as the database of this machine has it. `active`: the key in use; `held`: one that
    waits for its successor; `known`: slugs of the communities here; None: the database cannot be read, for the reason
    `unread`.
    """

    declared: Declared
    active: KeyRow | None
    held: KeyRow | None
    last_seq: int
    known: frozenset[str] | None
    unread: str

    @property
    def host(self) -> str:
        """With --url, the name under which the labeler is asked for all the same."""
        return self.declared.host if self.overridden else ""

    async def label_key(self) -> PublicKey | None:
        """The key of the DID document."""
        return identity.label_key(self.declared.did, (await self.document(self.declared.did)).body)


async def vocabulary(patient: LabelPatient) -> Finding:
    """What the file says, as far as it is not refused anyway."""
    declared, shorter = patient.declared, "choose a shorter value, before it is used"
    long = sorted(value for value in declared.values if len(value) > LONG)
    found = [warn(f"{value} is longer than {LONG} characters", shorter) for value in long]
    if (size := record_bytes(declared)) > MOST_BYTES * 3 // 4:
        found.append(warn(f"the record has {size:,} of {MOST_BYTES:,} bytes", "shorten the descriptions"))
    if patient.known is not None and (unknown := sorted(declared.communities - patient.known)):
        fix = "correct `communities` in the file of labels"
        found.append(warn(f"no such community here: {', '.join(unknown)}", fix))
    return summed(f"{len(declared.values)} values, a record of {size:,} bytes", found)


async def key(patient: LabelPatient) -> Finding:
    """The signing key of this machine is there and can be opened."""
    if patient.unread:
        return skipped(patient.unread)
    if patient.held is not None:
        seen = f"labels wait: {patient.held.public} is being replaced"
        return fail(seen, "go on with `communities labeler rotate-key`, or go back with --abandon")
    if patient.active is None:
        return fail("there is no signing key in use", _INIT)
    config = patient.config
    try:
        KeyRing(config.labeler_passphrase, config.labeler_key).open(patient.declared.did, patient.active)
    except KeyFaultError as error:
        return fail(str(error), "set COMMUNITIES_LABELER_PASSPHRASE as it was when the key was made")
    return ok(patient.active.public)


async def document(patient: LabelPatient) -> Finding:
    """The DID document of the account has the key and the endpoint."""
    declared = patient.declared
    answer = await patient.document(declared.did)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return fail(f"{answer.problem()}, no DID document", "correct `did` in the file of labels")
    found = []
    standing = identity.label_key(declared.did, answer.body)
    if standing is None:
        found.append(fail(f"{answer.url} has no key #{identity.METHOD}: nothing we sign is believed", _INIT))
    elif patient.active and standing != parse_did_key(patient.active.public):
        seen = (
            f"the key #{identity.METHOD} of {answer.url} is not {patient.active.public}, with which labels are signed"
        )
        found.append(fail(seen, f"{_INIT} --replace, unless another labeler works with this account"))
    endpoint = identity.label_endpoint(declared.did, answer.body)
    if endpoint is None:
        found.append(fail(f"{answer.url} has no service #{identity.SERVICE} of type {identity.TYPE}", _INIT))
    elif endpoint != declared.endpoint:
        why = ", with a path, which clients do not expect" if urlsplit(endpoint).path else ""
        seen = f"#{identity.SERVICE} of {answer.url} leads to {endpoint}{why}, not to {declared.endpoint}"
        found.append(fail(seen, f"{_INIT} --replace, or correct `endpoint` in the file of labels"))
    if declared.did.startswith("did:web:"):
        seen = f"{declared.did} is a did:web, which the usual moderation client does not set up"
        found.append(warn(seen, "take an account with a did:plc, if you can"))
    if not any(service.get("type") == "AtprotoPersonalDataServer" for service in services(answer.body)):
        found.append(fail(f"{answer.url} names no PDS: the record has no place", "make an account on a PDS"))
    return summed(f"{declared.did} -> {declared.endpoint}, with our key", found)


async def endpoint(patient: LabelPatient) -> Finding:
    """The public name leads here, with a certificate that others accept."""
    parts = urlsplit(patient.declared.endpoint)
    if patient.overridden:
        return skipped(f"--url asks {patient.url} instead of {patient.declared.endpoint}")
    if parts.scheme == "http":
        return skipped(f"{patient.declared.endpoint} is this machine itself, without TLS")
    if (named := await resolves(parts.hostname or "")).status != "ok":
        return named
    certificate = await certified(parts.hostname or "", parts.port or 443)
    found = [certificate]
    if parts.port not in (None, 443):
        seen = f"{patient.declared.endpoint} is not on port 443, which some networks do not let through"
        found.append(warn(seen, "serve it on port 443"))
    return summed(f"{named.seen}; {certificate.seen}", [finding for finding in found if finding.status != "ok"])


async def metadata(patient: LabelPatient) -> Finding:
    """What the server says of itself is what the DID document says."""
    url = f"{patient.url}/.well-known/ozone-metadata.json"
    answer = await patient.get(url, host=patient.host)
    if answer.status != 200 or not isinstance(answer.body, dict):
        return fail(answer.problem(), f"see whether the service runs with this file of labels; {_PROXY}")
    wanted = {"did": patient.declared.did, "url": patient.declared.endpoint}
    found = []
    for name, value in wanted.items():
        if str(answer.body.get(name, "")).rstrip("/") != value:
            seen = f"{url} says {name} {answer.body.get(name)!r}, not {value!r}"
            found.append(fail(seen, "give the service the same file of labels as here, and let the proxy keep Host"))
    standing = await patient.label_key()
    if standing is None and not found:
        return skipped(_KEYLESS)
    try:
        told = parse_did_key(str(answer.body.get("publicKey")))
    except ValueError:
        told = None
    if told is None or told != standing:
        seen = f"{url} says the key {answer.body.get('publicKey')!r}, which is not that of the DID document"
        found.append(fail(seen, "see what the check `document` says, then start the service again"))
    return summed(f"{url} agrees with the DID document", found)


async def record(patient: LabelPatient) -> Finding:
    """The record stands in the account's repository and declares what the file does."""
    declared = patient.declared
    document = (await patient.document(declared.did)).body
    pds = next(
        (
            str(service.get("serviceEndpoint")).rstrip("/")
            for service in services(document)
            if service.get("type") == "AtprotoPersonalDataServer"
        ),
        None,
    )
    if pds is None:
        return fail(f"the DID document of {declared.did} names no PDS", "make an account on a PDS")
    params = {"repo": declared.did, "collection": COLLECTION, "rkey": RKEY}
    answer = await patient.get(f"{pds}/xrpc/com.atproto.repo.getRecord", params)
    value = answer.body.get("value") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(value, dict):
        return fail(f"there is no record {COLLECTION}: {answer.problem()}", _PUBLISH)
    wanted = {**value, **service_record(declared, str(value.get("createdAt")))}
    if changed := changed_fields(value, wanted):
        standing = (value.get("policies") or {}).get("labelValues") or []
        hidden = sorted(declared.values - set(standing))
        told = f"; clients drop {', '.join(hidden[:5])}" if hidden else ""
        return fail(f"the record differs from the file in {', '.join(changed)}{told}", _PUBLISH)
    return ok(f"{len(declared.values)} values at {pds}")


async def appview(patient: LabelPatient) -> Finding:
    """The AppView knows the labeler. It may be late or another one, so this only warns."""
    config, did = patient.config, patient.declared.did
    url = f"{config.appview_url}/xrpc/app.bsky.labeler.getServices"
    answer = await patient.get(url, {"dids": did, "detailed": "true"})
    views = answer.body.get("views") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(views, list):
        return warn(answer.problem(), "see whether COMMUNITIES_APPVIEW_URL can be reached")
    for view in views:
        policies = view.get("policies") if isinstance(view, dict) else None
        if isinstance(policies, dict):
            if missing := sorted(patient.declared.values - set(policies.get("labelValues") or [])):
                seen = f"{config.appview_url} does not know {', '.join(missing[:5])} yet"
                return warn(seen, f"wait some minutes after {_PUBLISH.removeprefix('run ')}")
            return ok(f"{config.appview_url} knows {len(policies.get('labelValues') or [])} values")
    seen = f"{config.appview_url} does not know the labeler"
    return warn(
        seen, f"{_PUBLISH}; if it is, see whether the AppView hears the account's PDS and the account is active"
    )


async def stream(patient: LabelPatient) -> Finding:
    """A subscriber gets through the public name what we signed, and `queryLabels` says the same of it."""
    base = "ws" + patient.url.removeprefix("http")
    headers = {"Host": patient.host} if patient.host else {}
    cursor = max(patient.last_seq - 1, 0)
    url = f"{base}/xrpc/com.atproto.label.subscribeLabels?cursor={cursor}"
    try:
        async with patient.session.ws_connect(url, headers=headers, max_msg_size=1 << 20) as socket:
            if patient.last_seq == 0 and not patient.unread:
                return ok(f"{base} takes subscribers; nothing was published yet")
            message = await socket.receive(timeout=2 if patient.unread else 10)
    except aiohttp.WSServerHandshakeError as error:
        return fail(f"{base} answers {error.status} in place of an upgrade to WebSocket", _PROXY)
    except TimeoutError:
        if patient.unread:
            return ok(f"{base} takes subscribers; nothing was published yet, or it stands still")
        seen = f"{base} sends nothing after {cursor}, and seq {patient.last_seq} is published"
        return fail(seen, "see whether the service that answers has the same database")
    labels = _labels(message.data) if message.type == aiohttp.WSMsgType.BINARY else None
    if not labels:
        return fail(f"{base} sent no frame with labels", f"see what else answers there; {_PROXY}")
    return await _judge(patient, labels[0])


async def _judge(patient: LabelPatient, label: dict[str, Any]) -> Finding:
    declared, about = patient.declared, f"{label.get('val')} on {label.get('uri')}"
    standing = await patient.label_key()
    if label.get("src") != declared.did:
        return fail(f"the stream has labels of {label.get('src')}", "see that the proxy keeps the header Host")
    if standing is None:
        return skipped(_KEYLESS)
    if not check(encode_dag_cbor(label), standing):
        seen = f"the signature of {about} is not that of the DID document's key: nobody believes it"
        return fail(seen, "run `communities labeler rotate-key` to go on with a change of key; else see `document`")
    params = {"uriPatterns": str(label["uri"]), "sources": declared.did, "limit": "250"}
    answer = await patient.get(f"{patient.url}/xrpc/com.atproto.label.queryLabels", params, host=patient.host)
    listed = answer.body.get("labels") if isinstance(answer.body, dict) else None
    if answer.status != 200 or not isinstance(listed, list):
        return fail(answer.problem(), "see whether the service runs with this file of labels")
    same = ("val", "uri", "cid", "cts", "neg")
    if not any(all(one.get(name) == label.get(name) for name in same) for one in listed if isinstance(one, dict)):
        return fail(f"queryLabels does not have {about}, which the stream has", "see whether both are one service")
    return ok(f"{about} came signed by the DID document's key, and queryLabels has it")


def _labels(frame: bytes) -> list[dict[str, Any]] | None:
    """The labels of a `#labels` frame; None when it is none."""
    try:
        header, payload = libipld.decode_dag_cbor_multi(frame)
    except ValueError:
        return None
    labels = payload.get("labels") if isinstance(payload, dict) else None
    good = isinstance(header, dict) and header.get("t") == "#labels" and isinstance(labels, list)
    return [label for label in labels or [] if isinstance(label, dict)] if good else None
