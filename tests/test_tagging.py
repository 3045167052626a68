"""After a report its subject is tagged by itself, once, whatever happens meanwhile: with why, and with what it is."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.deeds import EMBED
from communities.reasons import APPEALS, OZONE, REASONS
from communities.report_cases import begin
from communities.tagging import AGAIN_MICROS, LONGEST_MICROS, embed_tags, lang_tags, report_tag, tag_due
from models.database import sql, writing
from models.reports import Said
from ozone.roles import Role
from service.ending import end_once
from tests.civic_posts import a_cid, version
from tests.civic_reports import OTHER, SPAM, TROLL, report, taken
from tests.didnet import plc
from tests.due_site import appeal, put_in, removed
from tests.label_scene import LABELER
from tests.ozone_events import MUTE_REPORTER, TAG, check_books, done, emit, events, stands
from tests.ozone_site import Desk, desk, unlimited
from tests.service_process import PATIENCE
from tests.test_evidence import Pds, fetch, post_uri

QUERY = "moderation.queryEvents"
EMBEDS = "app.bsky.embed."
IMAGES = {"$type": f"{EMBEDS}images", "images": []}
QUOTE = {"$type": f"{EMBEDS}record", "record": {"uri": "at://x/y/z", "cid": "c"}}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    with unlimited(tmp_path) as found:
        yield found
        check_books(sql(found.place.writer.database))


def tagged(place: Desk, after: int = 0) -> int:
    """What the service does now and then, so many microseconds later; of how many reports."""
    place.place.clock.now += after / 1_000_000
    return tag(place.place.writer.database, place.place.clock.micros())


def tag(database: Any, now: int, most: int = 50) -> int:
    with writing(database) as connection:
        return tag_due(connection, now, most)


def tags(place: Desk, what: str, scope: str = "python") -> list[str]:
    """The tags of a subject, as its status has them."""
    return [*stands(place, what)[scope].tags]


def waiting(place: Desk) -> int:
    return int(place.place.writer.sql("SELECT count(*) FROM report_tagging")[0][0])


def by_itself(place: Desk) -> list[tuple[str, str, str]]:
    """The events of the tagger: scope, type, role."""
    return [(one.scope, one.kind, one.role) for one in events(place) if one.actor == "tagger"]


def test_what_was_reported_is_tagged_after_the_report_by_one_event(place: Desk) -> None:
    town, who = place.place, place.member(Role.TRIAGE)
    uri = town.writer.post(1, embed=IMAGES, langs=("pt-BR", "de"))
    taken(report(town, town.person(), uri))
    assert tags(place, uri) == [] and waiting(place) == 1
    assert tagged(place) == 1 and waiting(place) == 0
    wanted = ["embed:image", "lang:de", "lang:pt", "report:spam"]
    (status,) = place.ask("moderation.queryStatuses", who, tags=["report:spam&&lang:pt"]).json["subjectStatuses"]
    assert status["tags"] == ["community:python", *wanted]
    (event,) = place.ask(QUERY, who, addedTags=["report:spam"]).json["events"]
    assert event["createdBy"] == LABELER and event["modTool"] == {"name": "tagger"}
    assert event["subject"] == status["subject"] and event["subject"]["cid"] == version(town, uri)
    assert sorted(event["event"]["add"]) == wanted and event["event"]["remove"] == []
    assert by_itself(place) == [("python", TAG, "automation")]
    assert tagged(place, 10 * LONGEST_MICROS) == 0 and len(by_itself(place)) == 1


def test_each_community_that_a_report_reaches_has_tags_and_events_of_its_own(place: Desk) -> None:
    town = place.place
    uri, alone = town.writer.post(1), town.writer.post(1)
    put_in(town, "rust", uri)
    for what, reason in ((uri, SPAM), (alone, TROLL)):
        taken(report(town, town.person(), what, reason))
    assert tagged(place) == 3
    assert tags(place, uri) == tags(place, uri, "rust") == ["lang:de", "report:spam"]
    assert sorted(by_itself(place)) == [(slug, TAG, "automation") for slug in ("python", "python", "rust")]
    rust = town.moderator("rust")
    (event,) = place.ask(QUERY, rust, types=["tools.ozone.moderation.defs#modEventTag"]).json["events"]
    assert event["subject"]["uri"] == uri
    assert place.ask(QUERY, rust, addedTags=["report:harassment-troll"]).json["events"] == []


def test_reports_of_one_subject_for_several_reasons_are_one_event(place: Desk) -> None:
    town, uri = place.place, place.place.writer.post(1)
    for reason in (SPAM, TROLL, SPAM, OTHER):
        taken(report(town, town.person(), uri, reason))
    assert tagged(place) == 4 and len(by_itself(place)) == 1
    assert tags(place, uri) == ["lang:de", "report:harassment-troll", "report:other", "report:spam"]
    taken(report(town, town.person(), uri, SPAM))
    assert tagged(place) == 1 and len(by_itself(place)) == 1, "nothing is missing"


@pytest.mark.parametrize("first", ["lang:fr", "embed:video", "report:spam"])
def test_where_there_is_such_a_tag_already_none_is_added(place: Desk, first: str) -> None:
    town, uri = place.place, place.place.writer.post(1, embed=IMAGES)
    done(emit(place, place.member(Role.TRIAGE), uri, TAG, add=[first, "langs", "embedded"], remove=[], named="python"))
    taken(report(town, town.person(), uri))
    tagged(place)
    wanted = {"lang:": "lang:de", "embed:": "embed:image", "report:": "report:spam"} | {
        first[: first.find(":") + 1]: first
    }
    assert tags(place, uri) == sorted((*wanted.values(), "langs", "embedded"))


def test_people_add_and_remove_these_tags_and_the_same_report_brings_none_back(place: Desk) -> None:
    town, uri, who, reader = place.place, place.place.writer.post(1), place.member(Role.TRIAGE), place.place.person()
    taken(report(town, reader, uri))
    tagged(place)
    done(emit(place, who, uri, TAG, add=["lang:en"], remove=["lang:de", "report:spam"]))
    taken(report(town, reader, uri))
    assert tagged(place, 10 * AGAIN_MICROS) == 0 and tags(place, uri) == ["lang:en"]
    taken(report(town, town.person(), uri))
    assert tagged(place) == 1 and tags(place, uri) == ["lang:en", "report:spam"], "it was reported anew"


def test_a_tag_that_somebody_has_set_for_a_time_still_ends(place: Desk) -> None:
    town, uri, who = place.place, place.place.writer.post(1), place.member(Role.TRIAGE)
    done(emit(place, who, uri, TAG, add=["report:spam"], remove=[], durationInHours=1, named="python"))
    taken(report(town, town.person(), uri))
    tagged(place)
    town.clock.now += 3600
    assert end_once(town.writer.database, town.clock.micros()) == 1 and tags(place, uri) == ["lang:de"]


def test_who_is_muted_tags_nothing(place: Desk) -> None:
    town, uri, who = place.place, place.place.writer.post(1), place.place.moderator("python")
    reader = town.member("python")
    taken(report(town, reader, uri, TROLL))
    tagged(place)
    done(emit(place, who, reader.did, MUTE_REPORTER, durationInHours=5))
    taken(report(town, reader, uri, SPAM))
    assert waiting(place) == 0 and tagged(place) == 0
    assert tags(place, uri) == ["lang:de", "report:harassment-troll"]


def test_an_appeal_is_a_reason_as_any_other(place: Desk) -> None:
    town, uri, author = place.place, place.place.writer.post(1), place.place.person(1)
    removed(town, uri)
    appeal(town, author, uri)
    tagged(place)
    assert tags(place, uri) == ["lang:de", "report:appeal"]


@pytest.mark.parametrize("message", ["", "m1"], ids=["conversation", "message"])
def test_of_a_conversation_only_the_reason_is_known(place: Desk, message: str) -> None:
    said = Said(plc(61), SPAM, "", plc(5), convo="c1", message=message, labeler=LABELER)
    with writing(place.place.writer.database) as connection:
        begin(connection, said, [place.place.id("python")], place.place.clock.micros())
    assert tagged(place) == 1 and waiting(place) == 0
    assert tags(place, f"{plc(5)}#c1") == ["report:spam"]


def test_an_account_has_the_languages_of_its_last_posts(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("communities.tagging.LAST_POSTS", 2)
    town = place.place
    for rkey, langs in (("3b", ("en-GB",)), ("3a", ("fr",)), ("3c", ("de", "en"))):
        town.writer.post(1, rkey=rkey, langs=langs)
    silent, profile = plc(2), f"at://{plc(1)}/app.bsky.actor.profile/self"
    for what in (plc(1), silent, profile):
        taken(report(town, town.person(), what, cid=a_cid("x")))
    assert tagged(place) == 3 and waiting(place) == 0, "no record is waited for"
    assert tags(place, plc(1), "service") == tags(place, profile, "service") == ["lang:de", "lang:en", "report:spam"]
    assert tags(place, silent, "service") == ["lang:und", "report:spam"]


# What is not here yet


@pytest.fixture
def pds(place: Desk) -> Pds:
    return Pds(place.place)


def test_the_reason_is_a_tag_at_once_and_what_the_record_says_when_it_is_here(place: Desk, pds: Pds) -> None:
    town, uri = place.place, post_uri()
    cid = pds.put(uri, {"$type": "app.bsky.feed.post", "text": "x", "langs": ["ja"], "embed": IMAGES})
    taken(report(town, town.person(), uri, cid=cid))
    assert tagged(place) == 1 and tags(place, uri, "service") == ["report:spam"] and waiting(place) == 1
    done(emit(place, place.member(Role.TRIAGE), uri, TAG, add=[], remove=["report:spam"], cid=cid))
    assert fetch(town) == 1
    assert tagged(place) == 0, "it is not looked at all the time"
    assert tagged(place, AGAIN_MICROS) == 1
    assert tags(place, uri, "service") == ["embed:image", "lang:ja"] and waiting(place) == 0, (
        "why it was is not said again"
    )


def test_what_cannot_be_had_is_given_up_at_once(place: Desk, pds: Pds) -> None:
    town, uri = place.place, post_uri()
    taken(report(town, town.person(), uri, cid=a_cid("x")))
    tagged(place)
    assert fetch(town) == 1  # it is not there
    assert tagged(place, AGAIN_MICROS) == 1 and tags(place, uri, "service") == ["lang:und", "report:spam"]
    assert waiting(place) == 0


def test_a_host_that_does_not_answer_is_waited_for_an_hour_and_looked_for_seldom(place: Desk, pds: Pds) -> None:
    town, uri = place.place, post_uri()
    taken(report(town, town.person(), uri, cid=a_cid("x")))
    looked = passed = 0
    while waiting(place):
        looked += tagged(place, AGAIN_MICROS)
        passed += AGAIN_MICROS
        assert waiting(place) == int(passed < LONGEST_MICROS) and passed <= LONGEST_MICROS
        assert tags(place, uri, "service") == (["report:spam"] if waiting(place) else ["lang:und", "report:spam"])
    assert looked == 10


# That none is lost, and none comes twice


def test_two_processes_at_once_tag_each_subject_once(place: Desk) -> None:
    town = place.place
    for uri in [town.writer.post(1) for _ in range(10)]:
        taken(report(town, town.person(), uri))
    now, database = town.clock.micros(), town.writer.database
    counts: list[int] = []

    def work() -> None:
        try:
            while found := tag(database, now, 3):
                counts.append(found)
        finally:
            database.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(by_itself(place)) == 10 and sum(counts) == 10 and waiting(place) == 0


def test_half_of_a_piece_is_none(place: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    town = place.place
    for uri in [town.writer.post(1) for _ in range(2)]:
        taken(report(town, town.person(), uri))
    drop, dropped = "models.report_tagging.drop", []

    def fails(connection: Any, case: int) -> None:
        dropped.append(case)
        raise ZeroDivisionError

    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr(drop, fails)
        tagged(place)
    assert dropped and by_itself(place) == [] and waiting(place) == 2
    assert tagged(place) == 2 and len(by_itself(place)) == 2


def test_the_service_does_it_while_it_runs_also_what_it_left_when_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk(tmp_path) as place:
        uri = place.place.writer.post(1)
        taken(report(place.place, place.place.person(), uri))
    looked, before = threading.Event(), [0]

    def tag(*given: Any) -> int:
        if before[0]:
            looked.set()  # what was done before is committed by now
        before[0] = tag_due(*given)
        return before[0]

    monkeypatch.setattr("service.tagging.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("service.tagging.tag_due", tag)
    with desk(tmp_path) as place:
        assert looked.wait(PATIENCE) and tags(place, uri) == ["lang:de", "report:spam"]
        looked.clear()
        taken(report(place.place, place.place.person(), uri, TROLL))
        assert looked.wait(PATIENCE) and "report:harassment-troll" in tags(place, uri)


def test_with_a_report_what_waits_of_it_goes(tmp_path: Path) -> None:
    with desk(tmp_path) as place:
        town = place.place
        number = taken(report(town, town.person(), town.writer.post(1)))
        town.writer.sql("DELETE FROM report WHERE id = ?", number)
        assert waiting(place) == 0 and tagged(place) == 0


# What a record says


def test_every_reason_has_its_tag() -> None:
    found = {report_tag(reason): reason for reason in (*REASONS, *APPEALS)}
    assert {
        "report:spam",
        "report:rude",
        "report:appeal",
        "report:child-safety-csam",
        "report:sexual-ncii",
    } <= found.keys()
    assert found["report:violence-graphic-content"] == f"{OZONE}ViolenceGraphicContent"
    # The older and the newer `other` and `appeal` have one tag each, as they have one name.
    assert len(found) == len(REASONS | APPEALS) - 2


@pytest.mark.parametrize(
    ("embed", "wanted"),
    [
        (IMAGES, "image"),
        ({"$type": f"{EMBEDS}video"}, "video"),
        ({"$type": f"{EMBEDS}external", "external": {"uri": "https://example.com"}}, "external"),
        ({"$type": f"{EMBEDS}recordWithMedia", "record": QUOTE, "media": {"$type": f"{EMBEDS}video"}}, "video"),
        ({"$type": f"{EMBEDS}recordWithMedia", "record": QUOTE}, ""),
        (QUOTE, ""),
        ({"$type": ["x"]}, ""),
        ("x", ""),
        (None, ""),
    ],
)
def test_what_a_post_shows(embed: Any, wanted: str) -> None:
    assert embed_tags({"embed": embed}) == ([EMBED + wanted] if wanted else [])


def test_only_posts_are_tagged_with_what_they_show(place: Desk, pds: Pds) -> None:
    town, uri = place.place, post_uri().replace("feed.post", "feed.generator")
    cid = pds.put(uri, {"$type": "app.bsky.feed.generator", "langs": ["ja"], "embed": IMAGES})
    taken(report(town, town.person(), uri, cid=cid))
    fetch(town)
    tagged(place)
    assert tags(place, uri, "service") == ["lang:ja", "report:spam"]


ANYTHING = st.recursive(
    st.none() | st.text(max_size=9) | st.integers() | st.sampled_from(["en", "$type", f"{EMBEDS}recordWithMedia"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["langs", "embed", "media", "$type"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_of_many_languages_those_of_the_last_posts_are_taken() -> None:
    records = [{"langs": [f"{letter}a", f"{letter}b"]} for letter in "zyxwvuts"]
    assert lang_tags(records) == [f"lang:{letter}{end}" for letter in "zyxwv" for end in "ab"]
    assert lang_tags([]) == lang_tags([None, {}]) == ["lang:und"]


@given(ANYTHING)
def test_whatever_a_record_says_its_tags_are_few_and_short(record: Any) -> None:
    found = [*lang_tags([record]), *embed_tags(record)]
    assert 1 <= len(found) <= 4 and all(len(tag) <= 14 for tag in found)
