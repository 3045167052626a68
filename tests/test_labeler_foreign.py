"""Other labelers as an input: a real server with real signatures, read by the real parts over a real database."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from cbrrr import encode_dag_cbor

from labeler.automation import Automation
from labeler.foreign import PIECE, ForeignLabels
from labeler.labels_file import read_labels
from models import foreign_labels
from models.database import open_database, writing
from service.automating import values_of
from tests.automation_site import NOW
from tests.didnet import DidNet, Signer, plc
from tests.fake_labeler import FakeLabeler
from tests.label_scene import AUTHOR, LABELS, POST, Scene, version
from xrpc.egress import egress_session

THEIRS = plc(710)
INPUT = f"""
[[input]]
did = "{THEIRS}"
communities = ["birds"]
hide = ["porn"]
queue = ["rude", "plot"]
adopt = {{ theirs = "spam" }}

[[rule]]
name = "both"
value = "spoiler"
keywords = ["end"]
labels = ["{THEIRS} plot"]

[[input]]
did = "{plc(711)}"
queue = ["x"]
""".replace('adopt = { theirs = "spam" }', 'adopt = { theirs = "spam" }').replace(
    'queue = ["rude"]', 'queue = ["rude", "plot"]'
)


class Reading:
    """Everything that reads one labeler, in the test's loop."""

    def __init__(
        self, scene: Scene, source: FakeLabeler, reader: ForeignLabels, automation: Automation, run: Any
    ) -> None:
        self.scene, self.source, self.reader, self.automation, self.run = scene, source, reader, automation, run

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something, looking at what is due meanwhile."""
        async with asyncio.timeout(20):
            while not condition():
                while await self.run(self.automation.step):
                    pass
                await asyncio.sleep(0.005)

    async def read(self) -> None:
        """Wait until everything that was published was read, and acted upon."""
        newest = max(self.source.frames)
        await self.until(lambda: self.cursor() == newest)
        while await self.run(self.automation.step):
            pass

    def cursor(self) -> int | None:
        rows = self.scene.sql("SELECT cursor FROM label_input WHERE did = ?", THEIRS)
        return rows[0][0] if rows else None

    async def connected(self) -> None:
        await self.until(lambda: len(self.source._sockets) == 1)

    def hidden(self, uri: str = POST) -> int:
        return int(self.scene.sql("SELECT hidden FROM feed_item WHERE uri = ? AND community = 1", uri)[0][0])

    def log(self) -> list[Any]:
        return self.scene.sql(
            "SELECT action, actor, role, subject, reason FROM decision WHERE community = 1 ORDER BY seq"
        )


def reading(
    scene: Scene, work: Callable[[Reading], Awaitable[None]], text: str = INPUT, now: Callable[[], float] = lambda: NOW
) -> None:
    """Run a test while a labeler is read."""
    scene.labels(LABELS + text)

    async def go() -> None:
        async with AsyncExitStack() as stack:
            net = await stack.enter_async_context(DidNet())
            source = await stack.enter_async_context(FakeLabeler(THEIRS, net))
            session = await stack.enter_async_context(egress_session(("localhost",)))
            thread = ThreadPoolExecutor(1)
            stack.callback(thread.shutdown)

            async def run(work: Callable[[], Any]) -> Any:
                return await asyncio.get_running_loop().run_in_executor(thread, work)

            declared = read_labels(scene.folder / "labels.toml")
            database = await run(lambda: open_database(scene.path))
            stack.push_async_callback(run, database.close)
            automation = Automation(database, declared.labelers, declared.rules, declared.inputs, now)
            await run(automation.begin)
            reader = ForeignLabels(
                database, session, net.url, ("localhost",), declared.inputs[0], values_of(declared, THEIRS),
                automation.acts, run, now, delays=(0.01, 0.02),
            )  # fmt: skip
            task = asyncio.create_task(reader.run())
            try:
                made = Reading(scene, source, reader, automation, run)
                await made.connected()
                await work(made)
            finally:
                task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(ended, asyncio.CancelledError), ended

    asyncio.run(go())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, capsys)


def test_a_label_hides_a_post_as_automation_and_its_negation_gives_it_back(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        scene.post("3k", "x", slug="frogs")
        await at.source.say(at.source.label(POST, "porn"))
        await at.read()
        assert at.hidden() == 4
        assert at.log() == [("remove", THEIRS, "automation", POST, f"label porn of {THEIRS}")]
        assert scene.sql("SELECT hidden FROM feed_item WHERE community = 2") == [(0,)], "only where it is asked for"
        await at.source.say(at.source.label(POST, "porn", neg=True))
        await at.read()
        assert at.hidden() == 0 and [row[0] for row in at.log()] == ["remove", "restore"]
        assert scene.sql("SELECT * FROM decided") == []

    reading(scene, work)


def test_an_account_label_reaches_its_posts_those_that_come_later_too(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(AUTHOR, "porn"))
        await at.read()
        later = scene.post("3l", "y")
        await at.until(lambda: at.hidden(later) == 4)
        assert at.hidden() == 4
        await at.source.say(at.source.label(AUTHOR, "porn", neg=True))
        await at.read()
        assert at.hidden() == at.hidden(later) == 0

    reading(scene, work)


def test_a_label_lets_a_post_wait_until_it_is_taken_back(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "rude"))
        await at.read()
        assert scene.sql("SELECT community, reports FROM flag") == [(1, 1)]
        assert at.hidden() == 0
        await at.source.say(at.source.label(POST, "rude", neg=True))
        await at.read()
        assert scene.sql("SELECT * FROM flag") == []

    reading(scene, work)


def test_a_label_is_adopted_under_our_name_and_given_up_with_it(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "theirs", exp=int(NOW * 1000) + 60_000))
        await at.read()
        assert scene.sql("SELECT actor, uri, added, rule, exp FROM label_event") == [
            (f"rule:input {THEIRS}", POST, "spam", f"input {THEIRS}", int(NOW * 1000) + 60_000)
        ]
        await at.source.say(at.source.label(POST, "theirs", neg=True))
        await at.read()
        assert scene.sql("SELECT * FROM label_outbox") == []

    reading(scene, work)


def test_a_rule_goes_by_what_others_say(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "the end")
        other = scene.post("3l", "nothing")
        await at.source.say(at.source.label(POST, "plot"), at.source.label(other, "plot"))
        await at.read()
        assert scene.sql("SELECT actor, uri FROM label_event") == [("rule:both", POST)]

    reading(scene, work)


def test_what_is_signed_by_another_key_or_changed_is_dropped_and_counted(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        source, bad = at.source, Signer("ES256K")
        await source.say(
            source.label(POST, "porn", signer=bad),
            source.label(POST, "porn", change=lambda said: said.update(val="rude")),
            source.label(POST, "rude", change=lambda said: said.update(sig=b"\0" * 64)),
            source.label(POST, "rude", change=lambda said: said.update(ver=2)),
            source.label(POST, "rude", change=lambda said: said.update(src=plc(1))),
            source.label(POST, "rude", change=lambda said: said.pop("sig")),
            source.label(POST, "rude", change=lambda said: said.update(cts="soon")),
            source.label(POST, "rude", cts=int(NOW * 1000) + 600_000),
            source.label("at://alice.example/app.bsky.feed.post/3k", "rude"),
        )
        await at.read()
        assert scene.sql("SELECT * FROM foreign_label") == [] and at.hidden() == 0
        assert at.reader.counts["bad signatures"] == 3 and at.reader.counts["bad labels"] == 6

    reading(scene, work)


def test_a_message_of_a_thousand_labels_is_stored_in_pieces(scene: Scene) -> None:
    """Whoever else writes, or waits for the thread of the rules, comes between."""

    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        store = at.reader._store
        sizes: list[int] = []

        def counted(signed: Sequence[Any], seq: int | None) -> Any:
            sizes.append(len(signed))
            return store(signed, seq)

        at.reader._store = counted  # type: ignore[method-assign]
        one = at.source.label(POST, "rude")
        await at.source.say(*[one] * 950)
        await at.read()
        assert max(sizes) <= PIECE and sum(sizes) == 950
        assert at.reader.counts["labels"] == 1 and at.reader.counts["bad signatures"] == 0

    reading(scene, work)


@pytest.mark.parametrize("alg", ["ES256K", "ES256"])
def test_a_new_key_is_asked_for_once_and_what_it_signed_is_taken(scene: Scene, alg: str) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        new = Signer(alg)
        at.source.publish(new)
        await at.source.say(at.source.label(POST, "porn", signer=new))
        await at.read()
        assert at.hidden() == 4 and at.source.net.lookups[f"/{THEIRS}"] == 2
        for number in range(5):
            await at.source.say(at.source.label(POST, "rude", signer=Signer("ES256K"), cts=1_780_000_000_000 + number))
        await at.read()
        assert at.source.net.lookups[f"/{THEIRS}"] == 2, "a flood of bad ones asks nobody again"

    reading(scene, work)


def test_a_signed_false_neg_is_good_as_it_was_received(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        said = at.source.label(POST, "porn")
        said = {**{name: value for name, value in said.items() if name != "sig"}, "neg": False}
        said["sig"] = at.source.signer.sign(encode_dag_cbor(said))
        await at.source.say(said)
        await at.read()
        assert at.hidden() == 4

    reading(scene, work)


def test_only_what_is_known_and_asked_for_is_kept(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(
            at.source.label(f"at://{plc(99)}/app.bsky.feed.post/1", "porn"), at.source.label(plc(99), "porn"),
            at.source.label(POST, "something-else"), at.source.label(POST, "porn"),
        )  # fmt: skip
        await at.read()
        assert scene.sql("SELECT uri, val FROM foreign_label") == [(POST, "porn")]

    reading(scene, work)


def test_it_goes_on_where_it_was_after_a_break_and_replays_change_nothing(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "porn"))
        await at.read()
        seen = at.cursor()
        await at.source.drop()
        await at.source.say(at.source.label(POST, "rude"))
        await at.read()
        assert at.source.cursors == [None, str(seen)]
        scene.sql("UPDATE label_input SET cursor = 0")  # a consumer that saves it seldom
        await at.source.drop()
        await at.until(lambda: len(at.source.cursors) == 3)
        await at.read()
        assert len(at.log()) == 1 and at.hidden() == 4

    reading(scene, work)


def test_an_old_label_does_not_come_back_behind_its_negation(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        old = at.source.label(POST, "porn")
        await at.source.say(at.source.label(POST, "porn", neg=True))
        await at.source.say(old)
        await at.read()
        assert at.hidden() == 0 and at.log() == []

    reading(scene, work)


def test_a_label_of_an_older_version_says_nothing_of_the_post_as_it_is(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "new")
        await at.source.say(at.source.label(POST, "porn", cid=version("old")))
        await at.read()
        assert at.hidden() == 0
        await at.source.say(at.source.label(POST, "porn", cid=version("new")))
        await at.read()
        assert at.hidden() == 4

    reading(scene, work)


LABELS_HEAD = encode_dag_cbor({"op": 1, "t": "#labels"})
PAYLOADS: list[Any] = [
    {},
    {"seq": "1", "labels": []},
    {"seq": 1, "labels": {}},
    {"seq": 1 << 60, "labels": []},
    {"seq": 0, "labels": []},
    {"seq": 1, "labels": [None, 1, "x", [], {}, {"val": "porn"}, {"val": 5}, {"val": "porn", "sig": b"x", "ver": 1}]},
    {"seq": 1, "labels": [{}] * 5000},
]
HOSTILE: list[bytes | str] = [
    *(b"", b"\0", b"\xff" * 100, b"\xa0", b"\xa0\xa0", b"\xa0\xa0\xa0", b"\x9f" * 10_000, b"[]" * 4, b"\x81" * 5000),
    "text",
    encode_dag_cbor([]) + encode_dag_cbor({}),
    encode_dag_cbor({"op": None}) + encode_dag_cbor({}),
    encode_dag_cbor({"op": True, "t": "#labels"}) + encode_dag_cbor({"seq": 1, "labels": []}),
    encode_dag_cbor({"op": 7}) + encode_dag_cbor({}),
    encode_dag_cbor({"op": 1, "t": "#new"}) + encode_dag_cbor({"seq": 1}),
    encode_dag_cbor({"op": 1, "t": "#info"}) + encode_dag_cbor({"name": "OutdatedCursor"}),
    encode_dag_cbor({"op": -1}) + encode_dag_cbor({"error": "FutureCursor", "message": "\x1b[2J"}),
    *(LABELS_HEAD + encode_dag_cbor(payload) for payload in PAYLOADS),
    b"\0" * (1 << 20 | 1),
]


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_messages_never_end_it(scene: Scene, raw: bytes | str) -> None:
    """S79-S84 in spirit."""

    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "something-else"))  # from here on it is known what was read
        await at.read()
        at.source.raw = [raw]
        await at.source.drop()
        await at.until(lambda: not at.source.raw)
        await at.connected()
        await at.source.say(at.source.label(POST, "porn"))
        await at.until(lambda: at.hidden() == 4)

    reading(scene, work)


def test_a_labeler_that_is_gone_or_names_nothing_is_tried_again(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        for document in ({"service": []}, {"verificationMethod": []}, {"id": plc(1)}):
            at.source.publish(**document)
            await at.source.drop()
            await at.until(lambda: "names no labeler" in _state(scene))
        at.source.net.status = 500
        await at.until(lambda: "answered 500" in _state(scene))
        at.source.net.status = 200
        at.source.publish()
        await at.connected()
        await at.source.say(at.source.label(POST, "porn"))
        await at.read()
        assert at.hidden() == 4 and _state(scene) == "reading"

    reading(scene, work)


def _state(scene: Scene) -> str:
    rows = scene.sql("SELECT state FROM label_input WHERE did = ?", THEIRS)
    return str(rows[0][0]) if rows else ""


def test_what_was_said_for_a_time_ends(scene: Scene) -> None:
    now = [NOW]

    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "porn", exp=int(NOW * 1000) + 1000))
        await at.read()
        assert at.hidden() == 4
        now[0] += 2

        def expire() -> int:
            with writing(at.automation._database) as connection:
                return at.automation.acts.end_expired(connection, int(now[0] * 1000))

        assert await at.run(expire) == 1
        assert at.hidden() == 0 and await at.run(expire) == 0

    reading(scene, work, now=lambda: now[0])


def test_what_a_moderator_let_in_stays_in(scene: Scene) -> None:
    from communities.access import Action, Role, Status
    from communities.directory import Directory, Settings
    from communities.members import Via, intern_actor, put
    from communities.membership import Membership
    from communities.post_decisions import PostDecision, decide_post
    from tests.civic_posts import ref

    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(at.source.label(POST, "porn"))
        await at.read()

        def restore() -> None:
            with writing(at.automation._database) as connection:
                settings = Settings(1, "birds")
                member = Membership(Status.MEMBER, Role.MODERATOR)
                put(connection, 1, intern_actor(connection, plc(50)), member, act="x", by="x", now=1, via=Via("x"))
                wanted = PostDecision(Action.RESTORE, ref(POST))
                decide_post(connection, Directory({1: settings}), settings, plc(50), wanted, 2)

        await at.run(restore)
        assert at.hidden() == 0
        await at.source.say(at.source.label(POST, "porn"))
        await at.read()
        await at.source.say(at.source.label(POST, "porn", neg=True))
        await at.read()
        assert at.hidden() == 0 and [row[0] for row in at.log()] == ["remove", "restore"]

    reading(scene, work)


def test_all_that_an_input_did_is_undone_in_one_command(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        scene.post("3k", "x")
        await at.source.say(
            at.source.label(POST, "porn"), at.source.label(POST, "theirs"), at.source.label(POST, "rude")
        )
        await at.read()
        assert at.hidden() == 4 and len(scene.sql("SELECT * FROM label_outbox")) == 1

    reading(scene, work)
    assert scene.json("retract", "--rule", f"input {THEIRS}")[0] == {
        "events": 1,
        "labels": 1,
        "dryRun": False,
        "posts": 1,
    }
    assert scene.sql("SELECT hidden FROM feed_item") == [(0,)] and scene.sql("SELECT * FROM label_outbox") == []
    assert scene.json("retract", "--rule", f"input {THEIRS}")[0]["posts"] == 0

    async def again(at: Reading) -> None:
        scene.sql("INSERT INTO label_due (post) SELECT id FROM post")
        await at.until(lambda: not scene.sql("SELECT * FROM label_due"))
        assert at.hidden() == 0, "the label still stands, and was overruled"

    reading(scene, again)


def test_what_is_said_of_posts_that_are_gone_is_forgotten(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        uris = [scene.post(f"a{number}", "x") for number in range(5)]
        await at.source.say(at.source.label(AUTHOR, "porn"), *(at.source.label(uri, "porn") for uri in uris))
        await at.read()
        scene.sql("DELETE FROM post WHERE rkey IN ('a1', 'a4')")

        def forget() -> int:
            after, steps = "", 0
            while (found := _forget(at, after)) is not None:
                after, steps = found, steps + 1
            return steps

        assert await at.run(forget) == 2
        left = [uri for (uri,) in scene.sql("SELECT uri FROM foreign_label ORDER BY uri")]
        assert left == [uris[0], uris[2], uris[3], AUTHOR]

    reading(scene, work)


def _forget(at: Reading, after: str) -> str | None:
    with writing(at.automation._database) as connection:
        return foreign_labels.forget_gone(connection, after, 2)


def test_an_input_has_a_quota_and_the_command_shows_how_it_stands(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        uris = [scene.post(f"a{number}", "x") for number in range(4)]
        await at.source.say(*(at.source.label(uri, "porn") for uri in uris))
        await at.read()
        assert sorted(at.hidden(uri) for uri in uris) == [0, 0, 4, 4]

    reading(scene, work, INPUT.replace("[[rule]]", "quota = 2\n[[rule]]"))
    shown = {one["rule"]: one for one in scene.json("rules")}
    found = shown[f"input {THEIRS}"]["input"]
    assert found["cursor"] and found["state"] == "reading"


def test_history_is_read_where_it_is_asked_for(scene: Scene) -> None:
    async def work(at: Reading) -> None:
        assert at.source.cursors == ["0"]

    reading(scene, work, INPUT.replace("[[rule]]", "history = true\n[[rule]]"))
