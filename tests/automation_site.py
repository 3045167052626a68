"""Automatic rules and inputs over the folder of tests/label_scene.py, step by step as the service does it."""

from contextlib import closing
from typing import Any

from labeler.automation import Automation
from labeler.labels_file import read_labels
from models.database import open_database, sql
from tests.label_scene import LABELER, LABELS, Scene

NOW = 1_790_000_000.0
"""The time at which posts of the scene are written, in seconds."""


class Robot:
    """The rules of a scene at work."""

    def __init__(self, scene: Scene, text: str = "") -> None:
        self.scene = scene
        self.now = NOW
        if text:
            scene.labels(LABELS + text)
        self.work()

    def work(self) -> int:
        """Begin, as after a restart, and look at everything that is due; how many steps that took."""
        declared = read_labels(self.scene.folder / "labels.toml")
        with closing(open_database(self.scene.path)) as database:
            automation = Automation(database, declared.labelers, declared.rules, declared.inputs, lambda: self.now)
            automation.begin()
            steps = 0
            while automation.step():
                steps += 1
        return steps

    def post(self, text: str, rkey: str = "3k", **more: Any) -> str:
        """A post that comes and is looked at; returns its URI."""
        uri = self.scene.post(rkey, text, **more)
        self.work()
        return uri

    def holds(self, uri: str) -> set[str]:
        """The values that hold of a subject, whatever the clock of this machine says."""
        from labeler.standing import active
        from models import labelers

        with closing(open_database(self.scene.path, readonly=True)) as database:
            number = labelers.find(sql(database), LABELER)
            return {one.val for one in active(sql(database), number or 0, uri, int(self.now * 1000))}

    def events(self) -> list[Any]:
        return self.scene.sql(
            "SELECT actor, uri, cid, added, removed, rule, reason, community FROM label_event ORDER BY id"
        )
