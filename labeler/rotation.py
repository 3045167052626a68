"""From one signing key to the next: the part that concerns the database.

The steps (docs/LABELER.md): a new key is made beside the active one; it is `held` and nothing is signed, labels wait;
the DID document gets the new key; that becomes active and signs what waited; what stands is signed anew in the
background, `cts` and `seq` unchanged; a sample is verified, and the secret of the old key deleted. Each step looks at
what is there and can be done again; where the rows say how far it has come, nothing else has to be remembered. The
public form of a retired key stays on record: consumers that were not told may still hold labels that it signed.
"""

from typing import NamedTuple

from labeler.label import Label, check, sign
from labeler.signing_key import Signer
from models import labelers
from models.database import Connection
from models.labelers import ACTIVE, HELD, NEW, RETIRED, KeyRow
from xrpc.key import parse_did_key


class RotationError(Exception):
    """A step cannot be taken as the keys stand; the message says why."""


class Progress(NamedTuple):
    """How far signing anew has come: labels that still have an older key's signature, and all."""

    left: int
    all: int


def begin(connection: Connection, labeler: int, public: str, secret: bytes | None, now: int) -> KeyRow:
    """The key that is to be the next: the one that is waiting already, else one entered now. Inside a write; `now` is
    in microseconds.
    """
    waiting = successor(connection, labeler)
    if waiting is not None:
        return waiting
    number = labelers.add_key(connection, labeler, public, secret, now)
    return KeyRow(number, public, secret, NEW, now)


def successor(connection: Connection, labeler: int) -> KeyRow | None:
    """The key that was made and is not in use yet, the newest."""
    return next((key for key in reversed(labelers.keys(connection, labeler)) if key.state == NEW), None)


def held(connection: Connection, labeler: int) -> KeyRow | None:
    """The key that signs nothing until its successor does; None: nothing is paused."""
    return next((key for key in labelers.keys(connection, labeler) if key.state == HELD), None)


def hold(connection: Connection, labeler: int, active: int) -> None:
    """Pause publishing. Inside a write. Raises RotationError when `active` is not the active key (any more)."""
    if not labelers.change_state(connection, active, ACTIVE, HELD):
        raise RotationError("another key has become active meanwhile; look at `communities labeler status`")


def resume(connection: Connection, labeler: int, held_key: int) -> None:
    """Go on with the key that was held. Inside a write. Raises RotationError when it is not held (any more)."""
    if not labelers.change_state(connection, held_key, HELD, ACTIVE):
        raise RotationError("that key is not held; look at `communities labeler status`")


def switch(connection: Connection, labeler: int, old: int | None, new: int) -> None:
    """Make `new` the active key in place of `old` (held or active; None: there was none). Inside a write.

    Raises RotationError, and the write must be rolled back, when the keys do not stand so any more.
    """
    retired = old is None or any(labelers.change_state(connection, old, state, RETIRED) for state in (HELD, ACTIVE))
    other = labelers.active_key(connection, labeler)
    if not retired or other is not None or not labelers.change_state(connection, new, NEW, ACTIVE):
        raise RotationError("the keys were changed meanwhile; look at `communities labeler status`")


def progress(connection: Connection, labeler: int) -> Progress:
    """How many of the labels that stand have the signature of another key than the active one."""
    active = labelers.active_key(connection, labeler)
    counts = {key.id: labelers.signed_by(connection, key.id) for key in labelers.keys(connection, labeler)}
    total = sum(counts.values())
    return Progress(total - counts.get(active.id, 0) if active else 0, total)


def resign_some(connection: Connection, signer: Signer, limit: int = 200) -> int:
    """Sign up to `limit` labels anew that an older key has signed; returns how many. Inside a write; 200 take about
    30 ms. 0: nothing is left.

    `cts` and `seq` stay, so what went out is the same label; only the signature is another.
    """
    done = 0
    for key in labelers.keys(connection, signer.labeler):
        if key.id == signer.key_id or done >= limit:
            continue
        rows = connection.execute(
            "SELECT seq, uri, cid, val, neg, cts, exp FROM label WHERE label_key = ? ORDER BY seq LIMIT ?",
            (key.id, limit - done),
        ).fetchall()
        connection.executemany(
            "UPDATE label SET signed = ?, label_key = ? WHERE seq = ?",
            [
                (sign(signer.key, Label(signer.src, uri, cid, val, bool(neg), cts, exp)), signer.key_id, seq)
                for seq, uri, cid, val, neg, cts, exp in rows
            ],
        )
        done += len(rows)
    return done


def faults_of_sample(connection: Connection, labeler: int, most: int = 200) -> list[int]:
    """The `seq` of labels in a sample, spread over all, whose signature is not the active key's."""
    active = labelers.active_key(connection, labeler)
    if active is None:
        return []
    key = parse_did_key(active.public)
    first, last = connection.execute("SELECT min(seq), max(seq) FROM label WHERE labeler = ?", (labeler,)).fetchone()
    if first is None:
        return []
    wrong: dict[int, None] = {}
    for number in range(most):
        at = first + (last - first) * number // max(most - 1, 1)
        row = connection.execute(
            "SELECT seq, signed FROM label WHERE labeler = ? AND seq >= ? ORDER BY seq LIMIT 1", (labeler, at)
        ).fetchone()
        if row is not None and not check(row[1], key):
            wrong[row[0]] = None
    return list(wrong)


def forget_old(connection: Connection, labeler: int) -> int:
    """Delete the secrets of retired keys with which nothing that stands is signed; returns how many. Inside a write."""
    done = 0
    for key in labelers.keys(connection, labeler):
        if key.state == RETIRED and key.secret is not None and not labelers.signed_by(connection, key.id):
            labelers.forget_secret(connection, key.id)
            done += 1
    return done
