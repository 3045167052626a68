"""What may befall accounts whose repositories are followed, by name: `await TRUST[name](run)` lets it happen.

Only proofs and whole repositories make up for these. Each strikes one member who is followed as he is at that moment,
and is over when the index has what his repository holds. The names are those under which it is counted what really
happened (`world.fired`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests import trust_repos as repos
from tests import trust_stream as stream
from tests.bad_commits import recar, record_cid
from tests.trust_repos import INACTIVE, REFUSED, answered, gone, meanwhile
from tests.trust_stream import Strike, flip, forge, swallowed, tell_by_sync, tell_nothing, wrong
from tests.world import outages
from tests.world.keys import high_s

if TYPE_CHECKING:
    from tests.fault_run import FaultRun

DAY = 86_400_000_000
BROKEN, DESYNCHRONIZED = "chain broken", "account desynchronized"


@dataclass(frozen=True)
class Fault:
    """`story`: what happens in the network. `noticed`: what the service counts when it has noticed; empty where it
    counts nothing.
    """

    name: str
    story: str
    noticed: str
    strike: Strike

    async def __call__(self, run: "FaultRun") -> None:
        """Strike one who is followed as he is now."""
        await run.settle()
        member = run.history.member()
        await run.followed(member)
        await self.strike(run, member, self.name)
        await run.read_unread()


def _lacking(what: Callable[[dict[str, Any]], Any]) -> Strike:
    """A commit whose CAR lacks a block."""
    return wrong(lambda payload: recar(payload, lambda blocks: blocks.pop(what(payload))))


_FAULTS = (
    Fault("first commit swallowed", "A relay loses the first of some commits.", BROKEN,
          swallowed(lambda number, of: number > 0, tell_by_sync)),
    Fault("commits in the middle swallowed", "A relay loses some commits, and sends those before and after.", BROKEN,
          swallowed(lambda number, of: number in (0, of - 1), tell_by_sync)),
    Fault("last commit swallowed", "Nothing comes after what was lost: only the host knows.", "accounts behind",
          swallowed(lambda number, of: number < of - 1, tell_nothing)),
    Fault("every commit swallowed", "A relay drops all that the members' host sends for a while.", BROKEN,
          stream.all_of_all),
    Fault("#sync instead of commits", "A host that had trouble says only where it stands now.", DESYNCHRONIZED,
          swallowed(lambda number, of: False, tell_by_sync)),
    Fault("events lost while the service was down", "It was down for longer than the source keeps its events.", "gap",
          stream.while_down),
    Fault("cursor jumped", "The source counts on from elsewhere, and no longer has what was missed.", "gap",
          stream.jumped),
    Fault("since names another rev", "A commit says that it follows one that nobody knows.", BROKEN,
          wrong(lambda payload: payload | {"since": "3aaaaaaaaaaaa"})),
    Fault("prevData names another tree", "What a commit says of its past does not fit together.",
          "operations do not lead to prevData", wrong(lambda payload: payload | {"prevData": record_cid(payload)})),
    Fault("commit without prevData", "A host of before 2025.", "commit without prevData", stream.unchained),
    Fault("commit too big", "A host of before 2025 that leaves the operations out.",
          "commit of a removed kind (tooBig, rebase)", wrong(lambda payload: payload | {"tooBig": True, "ops": []})),
    Fault("signature garbled", "A host signs wrongly once.", "signature is not the account's",
          wrong(stream.same, lambda member, data: member.key.sign(data + b"!"))),
    Fault("signature with a high s", "A host does not take the lower of the two signatures.",
          "signature has a high s", wrong(stream.same, lambda member, data: high_s(member.key.sign(data), member.key))),
    Fault("commit with a flipped block", "A bit falls over on the way.", "block does not match its hash",
          wrong(flip(0.99))),
    Fault("commit without its record", "A commit lacks the record that it creates.", "record block missing",
          _lacking(record_cid)),
    Fault("commit without its tree", "A commit lacks the node that its tree begins with.", "tree node missing",
          _lacking(stream.root_of)),
    Fault("commit cut short", "The CAR of a commit ends in the middle of a block.", "blocks cut short",
          wrong(lambda payload: payload | {"blocks": payload["blocks"][:-9]})),
    Fault("commit forged", "Somebody else writes in a member's name.", "signature is not the account's",
          forge(lambda run, member, data: run.history.curator.key.sign(data))),
    Fault("commit of another account", "Another's commit is sent in a member's name.", "commit is of another account",
          forge(lambda run, member, data: member.key.sign(data), changes={"did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"})),
    Fault("rev in the future", "A host whose clock is a day ahead.", "rev in the future",
          forge(lambda run, member, data: member.key.sign(data), ahead=DAY)),
    Fault("host restored from a backup", "A repository goes on from what it was, and what came since is no more.",
          BROKEN, stream.backup),
    Fault("getRepo: 429 with Retry-After", "The host has had too many requests.", REFUSED,
          answered(lambda rng: outages.refuse(429, headers={"Retry-After": "1"}))),
    Fault("getRepo: 503", "The host is overloaded.", REFUSED, answered(lambda rng: outages.refuse(503))),
    Fault("getRepo: RepoTakendown", "A member is taken down for a while; the stream says only when it is over.",
          INACTIVE, gone("takendown")),
    Fault("getRepo: RepoDeactivated", "A member leaves for a while; the stream says only when he is back.",
          INACTIVE, gone("deactivated")),
    Fault("getRepo: RepoNotFound", "A member deletes himself and is restored; the stream says only the latter.",
          INACTIVE, gone("deleted")),
    Fault("getRepo: RepoTakendown by mistake", "A host errs once; nobody else says a word of it.",
          "accounts put right", repos.by_mistake),
    Fault("repository cut at a block", "The answer ends early, and looks whole.", REFUSED,
          answered(lambda rng: outages.cut_at_block(rng.randrange(3)))),
    Fault("repository slow and broken off", "The answer comes in drops, and ends in the middle.", REFUSED,
          answered(lambda rng: outages.trickled(rng.uniform(0.1, 0.9)))),
    Fault("bit of a repository flipped", "A bit falls over on the way.", REFUSED,
          answered(lambda rng: outages.flipped(rng.randrange(1 << 16)))),
    Fault("repository signed with the old key", "The key is a new one, and nothing was signed with it yet.", REFUSED,
          repos.old_key),
    Fault("repository behind the stream", "A replica lags, and gives out what was.", REFUSED, repos.behind),
    Fault("repository ahead of the stream", "A host is asked while the stream is late.", "accounts behind",
          repos.ahead),
    Fault("key changed while it is read", "The document names another key than the repository was signed with.",
          "repositories read", meanwhile(repos.rotate)),
    Fault("moved while it is read", "The host that is asked is left meanwhile.", "repositories read",
          meanwhile(repos.move)),
    Fault("restart while it is read", "The service ends in the middle.", "repositories read",
          meanwhile(lambda run, member: run.site.again())),
    Fault("much written while it is read", "More comes by the stream than is noted.", DESYNCHRONIZED,
          meanwhile(repos.flood)),
    Fault("key changed", "A member has a new signing key.", "",
          repos.changed(lambda run, one: run.history.rotate(one))),
    Fault("moved to another host", "A member goes to another host, with a new key.", "",
          repos.changed(lambda run, one: run.history.migrate(one))),
    Fault("directory unreachable", "Nobody's key is to be had for a while.", "key not to be had", repos.directory),
)  # fmt: skip

TRUST = {fault.name: fault for fault in _FAULTS}
