"""Who lives in the demonstration's network, what they write, and their communities: three that the operator's file
declares, and one that a record in its owner's repository does, with members and a moderator by records of their own.
"""

import random

from communities.records import COMMUNITY, MEMBERSHIP, ROLE
from tests.world import Account, Record, World

NAMES = ("ada", "bela", "carlos", "dana", "emil", "fatma", "goro", "hanna", "imani", "jonas", "kaja", "luis")
TEXTS = {
    "garden": (
        "The first tomatoes are red. Eleven weeks from seed! #gardening",
        "Is it too late to sow spinach? The nights are mild here. #gardening",
        "Slugs 1, lettuce 0. #Gardening",
        "Built a cold frame from two old windows 🌱 #gardening #diy",
        "Moving the compost bin was a bad idea and a good workout. #gardening",
        "Heute die Dahlien ausgegraben und trocken gelegt. #gardening",
    ),
    "python": (
        "TIL that pathlib can walk a tree by itself. #python",
        "Type hints found two bugs before lunch. #Python",
        "A list comprehension walks into a bar. [drink for drink in bar if drink] #python",
        "Released the little parser I talked about. Feedback welcome! #python",
        "Three hours for one missing comma in a tuple. #python",
        "Anyone else read the standard library for pleasure?",
    ),
    "circle": (
        "Chapter nine. No spoilers, but bring tissues.",
        "The library has a shelf for books that nobody has borrowed in ten years. Bliss.",
        "Poll for our next meeting: short stories or that very long novel?",
        "Finished it on the train and missed my stop.",
    ),
    "birds": (
        "A kingfisher, two metres from my boat! #birds",
        "Which one sings at four in the morning? It stops when I look. #birds",
        "The swifts are back over the old town. #birds",
        "Seven cranes, very high, going north. #birds",
        "Our feeder: eleven sparrows, one squirrel. #birds",
    ),
    "elsewhere": (
        "Good morning! Coffee first.",
        "The train is on time. I repeat: the train is on time.",
        "My cat has opinions about the new sofa.",
        "Rain again, but what a rainbow.",
    ),
}
ANSWERS = ("Congratulations!", "I had the same last week.", "Tell us more?", "Ha! Same here.", "So good.", "Thank you!")
RULES = """\
[[community]]
slug = "garden"
name = "Garden"
description = "Seeds, soil and slugs."
owner = "{owner}"
[community.include]
hashtags = ["gardening"]

[[community]]
slug = "python"
name = "Python"
description = "People who write Python."
owner = "{owner}"
[community.include]
hashtags = ["python"]
keywords = ["standard library"]
[community.exclude]
replies = true

[[community]]
slug = "circle"
name = "Reading circle"
description = "Whatever its four members write."
owner = "{owner}"
[community.include]
members = [{members}]
mentions = ["{owner}"]
"""
BIRDS = {
    "type": "open",
    "name": "Birds",
    "description": "Birds and the people who watch them.",
    "rules": [{"name": "Birds only"}],
    "posting": "approval",
    "queueFeed": True,
    "include": {"hashtags": ["birds"]},
    "log": {"who": "role", "showSubject": True},
}
"""What the record of the birdwatchers' account declares."""


class Town:
    """The accounts and what they do, one small thing at a time."""

    def __init__(self, world: World, seed: int) -> None:
        self._rng = random.Random(seed)
        self.host = world.account("communities")
        self.people = [world.account(name, "p256" if at % 3 == 2 else "k256") for at, name in enumerate(NAMES)]
        self.members = self.people[:4]
        self.founder = world.account("birdwatchers")
        self.watchers = self.people[2:8]
        self.moderator = self.watchers[0]
        self._clock = world.clock
        self._posts: list[tuple[Account, Record]] = []

    @property
    def rules(self) -> str:
        """The communities.toml of the demonstration."""
        members = ", ".join(f'"{member.did}"' for member in self.members)
        return RULES.format(owner=self.host.did, members=members)

    @property
    def birds(self) -> str:
        """The at-uri of the record that founds the birdwatchers' community."""
        return f"at://{self.founder.did}/{COMMUNITY}/birds"

    def found(self) -> None:
        """The birdwatchers' account founds its community and makes a member its moderator; people join."""
        when = {"createdAt": self._clock.iso()}
        self.founder.create(COMMUNITY, BIRDS | when, "birds")
        for person in self.watchers:
            person.create(MEMBERSHIP, {"community": self.birds} | when)
        self.founder.create(ROLE, {"community": self.birds, "subject": self.moderator.did, "role": "moderator"} | when)

    def open(self) -> None:
        """One post for each community, and three where posts wait for a moderator."""
        for topic in ("garden", "python", "circle", "birds", "birds", "birds"):
            self.post(topic)

    def post(self, topic: str) -> str:
        """Somebody writes about a topic; returns what happened in a line, as do the others."""
        author = self._rng.choice({"circle": self.members, "birds": self.watchers}.get(topic, self.people))
        record = author.post(self._rng.choice(TEXTS[topic]))
        self._posts.append((author, record))
        return f"{author.name} posts: {record.value['text']}"

    def step(self) -> str:
        """The next thing that happens."""
        author, record = self._rng.choice(self._posts[-30:])
        other = self._rng.choice(self.people)
        what = self._rng.choices(("post", "reply", "like", "repost", "edit", "delete"), (40, 15, 27, 8, 5, 5))[0]
        text = record.value["text"]
        if what == "reply":
            answer = other.reply(record, self._rng.choice(ANSWERS))
            self._posts.append((other, answer))
            return f"{other.name} answers {author.name}: {answer.value['text']}"
        if what == "like":
            other.like(record)
            return f"{other.name} likes {author.name}'s: {text}"
        if what == "repost":
            other.repost(record)
            return f"{other.name} reposts {author.name}'s: {text}"
        if what == "edit":
            edited = author.update(record, {"text": text + " (edited)"})
            self._posts[self._posts.index((author, record))] = author, edited
            return f"{author.name} edits: {edited.value['text']}"
        if what == "delete" and len(self._posts) > 12:
            self._posts.remove((author, record))
            author.delete(record)
            return f"{author.name} deletes: {text}"
        return self.post(self._rng.choice(tuple(TEXTS)))
