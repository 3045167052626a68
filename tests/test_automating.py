"""Automatic labels in the real web process: posts that ingest writes, a directory, another labeler, `/metrics`."""

import urllib.request
from pathlib import Path
from typing import Any

from tests.civic_site import Town, town
from tests.didnet import plc
from tests.fake_labeler import FakeLabeler
from tests.feed_site import NOW, iso
from tests.label_scene import LABELS
from tests.service_process import until

THEIRS = plc(710)
RULES = """
[[rule]]
name = "links"
value = "spam"
domains = ["bad.example"]

[[rule]]
name = "young"
value = "spoiler"
domains = ["new.example"]
account_younger_than = "7d"
"""
INPUT = f'[[input]]\ndid = "{THEIRS}"\nhide = ["porn"]\nhistory = true\n'


def card(host: str) -> dict[str, Any]:
    return {"$type": "app.bsky.embed.external", "external": {"uri": f"https://{host}/", "title": "", "description": ""}}


def events(place: Town) -> list[Any]:
    return place.writer.sql("SELECT actor, uri, added FROM label_event ORDER BY id")


def test_posts_that_ingest_writes_are_labelled_by_the_web_process(tmp_path: Path) -> None:
    labels = tmp_path / "labels.toml"
    labels.write_text(LABELS + RULES)
    with town(tmp_path, labels=str(labels)) as place:
        place.writer.post(1, embed=card("good.example"))
        uri = place.writer.post(1, embed=card("www.bad.example"))
        until("labels of what ingest wrote", lambda: events(place))
        assert events(place) == [("rule:links", uri, "spam")]
        day = 86_400_000_000
        for number, days in ((2, 1), (3, 30)):
            place.site.net.answers[f"/{plc(number)}/log/audit"] = [
                {"createdAt": iso(NOW - days * day)},
                {"createdAt": "x"},
            ]
            place.writer.post(number, at=NOW, embed=card("new.example"))
        place.writer.post(4, embed=card("new.example"))  # of whom the directory knows nothing
        until("what was due is done", lambda: not place.writer.sql("SELECT * FROM label_due"))
        assert [row[0] for row in events(place)[1:]] == ["rule:young"]
        assert plc(2) in events(place)[1][1]
        text = urllib.request.urlopen(f"http://127.0.0.1:{place.site.metrics_port}/metrics").read().decode()
        assert 'communities_label_rule_today{rule="links",kind="labelled"} 1' in text
        assert 'communities_label_rule_stopped{rule="links"} 0' in text
        assert place.site.page("python").status == 200


def test_another_labeler_is_read_by_the_web_process(tmp_path: Path) -> None:
    labels = tmp_path / "labels.toml"
    labels.write_text(LABELS)
    with town(tmp_path, labels=str(labels)) as place:
        uri = place.writer.post(1)
    labels.write_text(LABELS + INPUT)
    with town(tmp_path, labels=str(labels), egress_allow="localhost") as place:
        source = FakeLabeler(THEIRS, place.site.net)
        place.site.run(source.__aenter__())
        try:
            place.site.run(source.say(source.label(uri, "porn")))
            until("the post is hidden", lambda: uri not in place.site.all("python"))
            place.site.run(source.say(source.label(uri, "porn", neg=True)))
            until("the post is back", lambda: uri in place.site.all("python"))
            assert source.cursors == ["0"]
        finally:
            place.site.run(source.__aexit__(None, None, None))
        log = place.ask("getDecisions", place.moderator("python"), community="python").json["decisions"]
        assert [(one["action"], one["actor"], one["role"]) for one in log] == [
            ("restore", THEIRS, "automation"), ("remove", THEIRS, "automation"),
        ]  # fmt: skip


def test_without_rules_nothing_of_it_is_there(tmp_path: Path) -> None:
    with town(tmp_path) as place:
        place.writer.post(1)
        assert place.writer.sql("SELECT * FROM label_watch") == place.writer.sql("SELECT * FROM label_due") == []
        text = urllib.request.urlopen(f"http://127.0.0.1:{place.site.metrics_port}/metrics").read().decode()
        assert "communities_label_rule" not in text
