"""An account of the network: an identity, a repository, and the records that people write."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbrrr import CID, decode_dag_cbor

from tests.world.clock import Clock
from tests.world.keys import Curve, did_key, make_did, make_jwt, make_key, multikey
from tests.world.relay import Relay
from tests.world.repo import Repo, Write
from tests.world.text import facets


@dataclass(frozen=True)
class Record:
    """A record as it was written, and the seq of the commit that wrote it."""

    did: str
    collection: str
    rkey: str
    cid: str
    value: Mapping[str, Any]
    seq: int

    @property
    def path(self) -> str:
        """Key in the repository."""
        return f"{self.collection}/{self.rkey}"

    @property
    def uri(self) -> str:
        """The at-uri."""
        return f"at://{self.did}/{self.path}"

    @property
    def ref(self) -> dict[str, str]:
        """A `com.atproto.repo.strongRef` to it."""
        return {"uri": self.uri, "cid": self.cid}


class Account:
    """See the module. Every method that writes emits what a PDS would emit, at once."""

    def __init__(
        self, name: str, seed: str, curve: Curve, *, clock: Clock, relay: Relay, handles: Mapping[str, str]
    ) -> None:
        self.name = name
        self.handle = f"{name}.test"
        self.did = make_did(seed)
        self.password = "pw-" + hashlib.sha256(seed.encode()).hexdigest()[:12]
        self.app_password = "app-" + hashlib.sha256(f"app {seed}".encode()).hexdigest()[:12]
        self.sign_in_code: str | None = None
        """Asked for beside the password, when set."""
        self.key = make_key(curve, seed)
        self.rotation_keys = [did_key(make_key("k256", f"{seed} rotation"))]
        self.methods: dict[str, str] = {}
        self.services: dict[str, dict[str, str]] = {}
        """What stands in the directory beside the key and the server of the account."""
        self.repo = Repo(self.did, self.key)
        self.active = True
        self.status: str | None = None
        self.pds_url = ""
        self.left: set[str] = set()
        """The servers that it has moved away from."""
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self._seed = seed
        self._keys = 1
        self._clock = clock
        self._relay = relay
        self._handles = handles

    @property
    def plc_data(self) -> dict[str, Any]:
        """The state in the PLC directory, of which the document is made."""
        pds = {"type": "AtprotoPersonalDataServer", "endpoint": self.pds_url}
        return {
            "did": self.did,
            "rotationKeys": list(self.rotation_keys),
            "alsoKnownAs": [f"at://{self.handle}"],
            "verificationMethods": {"atproto": did_key(self.key), **self.methods},
            "services": {"atproto_pds": pds, **self.services},
        }

    @property
    def document(self) -> dict[str, Any]:
        """The DID document, as the PLC directory gives it out."""
        return {
            "@context": [
                "https://www.w3.org/ns/did/v1",
                "https://w3id.org/security/multikey/v1",
                "https://w3id.org/security/suites/ecdsa-2019/v1",
            ],
            "id": self.did,
            "alsoKnownAs": [f"at://{self.handle}"],
            "verificationMethod": [
                {
                    "id": f"{self.did}#atproto",
                    "type": "Multikey",
                    "controller": self.did,
                    "publicKeyMultibase": multikey(self.key),
                },
                *(
                    {
                        "id": f"{self.did}#{name}",
                        "type": "Multikey",
                        "controller": self.did,
                        "publicKeyMultibase": key.removeprefix("did:key:"),
                    }
                    for name, key in self.methods.items()
                ),
            ],
            "service": [
                {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self.pds_url},
                *(
                    {"id": f"#{name}", "type": one["type"], "serviceEndpoint": one["endpoint"]}
                    for name, one in self.services.items()
                ),
            ],
        }

    # The repository

    def commit(self, *writes: Write, **wrong: Any) -> dict[str, Any]:
        """Commit and return the `#commit` payload without sending it; `wrong` as in `Repo.commit`."""
        return self.repo.commit(writes, self._clock.tid(), **wrong)

    def write(self, *writes: Write) -> int:
        """Commit and send; returns the seq."""
        return self._relay.send("#commit", self.commit(*writes))

    def create(self, collection: str, record: Mapping[str, Any], rkey: str | None = None) -> Record:
        """Create a record; `$type` is filled in, and so is an rkey."""
        return self._put("create", collection, rkey or self._clock.tid(), record)

    def update(self, record: Record, changes: Mapping[str, Any]) -> Record:
        """Write a record anew with some keys changed; a key changed to None goes away."""
        value = {key: item for key, item in {**record.value, **changes}.items() if item is not None}
        return self._put("update", record.collection, record.rkey, value)

    def delete(self, record: Record) -> int:
        """Delete a record; returns the seq."""
        return self.write(Write("delete", record.path))

    def _put(self, action: Any, collection: str, rkey: str, record: Mapping[str, Any]) -> Record:
        path = f"{collection}/{rkey}"
        seq = self.write(Write(action, path, {"$type": collection} | dict(record)))
        return self.read(path, seq)

    def read(self, path: str, seq: int = 0) -> Record:
        """The record at a path as it is now; KeyError if there is none."""
        found = self.repo.record(path)
        if found is None:
            raise KeyError(path)
        collection, rkey = path.split("/")
        value: Any = decode_dag_cbor(self.repo.records[path])
        return Record(self.did, collection, rkey, found[0].encode(), value, seq)

    def blob(self, data: bytes, mime: str) -> dict[str, Any]:
        """Store a blob and return the reference that a record carries."""
        cid = CID.cidv1_raw_sha256_32_from(data)
        self.blobs[cid.encode()] = mime, data
        return {"$type": "blob", "ref": cid, "mimeType": mime, "size": len(data)}

    # What people write

    def post(
        self,
        text: str,
        *,
        tags: Sequence[str] = (),
        created_at: str | None = None,
        reply: Record | None = None,
        embed: Mapping[str, Any] | None = None,
        langs: Sequence[str] = ("en",),
        rkey: str | None = None,
        **more: Any,
    ) -> Record:
        """A post. Facets come from the text, `tags` are those outside it; a reply finds its root itself."""
        record: dict[str, Any] = {"text": text, "createdAt": created_at or self._clock.iso()}
        if found := facets(text, self._handles):
            record["facets"] = found
        if reply is not None:
            root = reply.value.get("reply", {}).get("root", reply.ref)
            record["reply"] = {"root": root, "parent": reply.ref}
        record |= {
            key: value for key, value in (("tags", list(tags)), ("langs", list(langs)), ("embed", embed)) if value
        }
        return self.create("app.bsky.feed.post", record | more, rkey)

    def reply(self, parent: Record, text: str, **more: Any) -> Record:
        """A post that answers another."""
        return self.post(text, reply=parent, **more)

    def quote(self, subject: Record, text: str, **more: Any) -> Record:
        """A post with another embedded."""
        return self.post(text, embed={"$type": "app.bsky.embed.record", "record": subject.ref}, **more)

    def like(self, subject: Record, *, created_at: str | None = None) -> Record:
        """A like of a record."""
        return self._subject("app.bsky.feed.like", subject.ref, created_at)

    def repost(self, subject: Record, *, created_at: str | None = None) -> Record:
        """A repost of a post."""
        return self._subject("app.bsky.feed.repost", subject.ref, created_at)

    def follow(self, account: "Account | str") -> Record:
        """A follow of an account or DID."""
        return self._subject("app.bsky.graph.follow", _did(account))

    def block(self, account: "Account | str") -> Record:
        """A block of an account or DID."""
        return self._subject("app.bsky.graph.block", _did(account))

    def list_(self, name: str, purpose: str = "app.bsky.graph.defs#curatelist") -> Record:
        """A list of accounts."""
        return self.create("app.bsky.graph.list", {"name": name, "purpose": purpose, "createdAt": self._clock.iso()})

    def listitem(self, list_: Record, account: "Account | str") -> Record:
        """Puts an account on a list."""
        return self.create(
            "app.bsky.graph.listitem",
            {"list": list_.uri, "subject": _did(account), "createdAt": self._clock.iso()},
        )

    def profile(self, display_name: str, description: str = "", **more: Any) -> Record:
        """The profile, written for the first time or anew."""
        value = {"displayName": display_name, "description": description, **more}
        action = "update" if "app.bsky.actor.profile/self" in self.repo.records else "create"
        return self._put(action, "app.bsky.actor.profile", "self", value)

    def _subject(self, collection: str, subject: Any, created_at: str | None = None) -> Record:
        return self.create(collection, {"subject": subject, "createdAt": created_at or self._clock.iso()})

    # The account itself

    def arrive(self) -> int:
        """Emit what a PDS emits for a new account: #identity, #account, a first empty #commit, #sync."""
        self.identity()
        self._account_event()
        self.write()
        return self.sync()

    def identity(self) -> int:
        """Emit `#identity`."""
        return self._relay.send("#identity", {"did": self.did, "handle": self.handle})

    def sync(self) -> int:
        """Emit `#sync` with the latest commit."""
        payload = {"did": self.did, "rev": self.repo.rev, "blocks": self.repo.latest()}
        return self._relay.send("#sync", payload)

    def set_status(self, active: bool, status: str | None = None) -> int:
        """Change whether the account is active and emit `#account`; returns the last seq.

        Coming back from `deactivated` brings #identity and #sync too; `deleted` takes earlier events off the
        stream.
        """
        before, self.active, self.status = self.status, active, status
        if status == "deleted":
            self._relay.forget(self.did)
        seq = self._account_event()
        if active and before == "deactivated":
            self.identity()
            seq = self.sync()
        return seq

    def _account_event(self) -> int:
        status = {"status": self.status} if self.status else {}
        return self._relay.send("#account", {"did": self.did, "active": self.active} | status)

    def rotate_key(self, curve: Curve | None = None) -> int:
        """Take a new signing key; the document has it at once. Emits `#identity`."""
        self._keys += 1
        self.key = self.repo.key = make_key(curve or self.key.curve, f"{self._seed} {self._keys}")
        return self.identity()

    def move(self, pds_url: str, curve: Curve | None = None) -> int:
        """Move to another PDS, as a person does: the repository is carried there and signed with a key that the new
        host has, the document changes, the account is activated. Returns the last seq.

        The old host says afterwards that the account is deactivated, which is so there: a relay passes on only what
        the host says that the document names (`relay.careful`).
        """
        self.left.add(self.pds_url)
        self.left.discard(pds_url)
        self.pds_url = pds_url
        self.rotate_key(curve)
        self.commit()
        self._account_event()
        self.identity()
        self.sync()
        return self._relay.send_of_another_host("#account", {"did": self.did, "active": False, "status": "deactivated"})

    def service_jwt(
        self,
        aud: str,
        lxm: str,
        exp: int = 60,
        *,
        header: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> str:
        """A token of inter-service authentication, valid `exp` seconds from now.

        `overrides` replace claims, and None leaves a claim out; `header` changes the header.
        """
        now = self._clock.now() // 1_000_000
        claims: dict[str, Any] = {
            "iat": now,
            "iss": self.did,
            "aud": aud,
            "exp": now + exp,
            "lxm": lxm,
            "jti": hashlib.sha256(f"{self._seed} {self._clock.tid()}".encode()).hexdigest()[:32],
        }
        claims = {key: value for key, value in (claims | overrides).items() if value is not None}
        return make_jwt(self.key, claims, header)


def _did(account: Account | str) -> str:
    return account if isinstance(account, str) else account.did
