"""Matching: what a post costs with 10, 1,000 and 100,000 communities, when the same communities match it."""

import random
import time
from statistics import median
from typing import Any

from bench.cores import pin, share_out
from bench.report import Report, Table, Target, number, ratios, spread
from communities.community import Community, Include
from communities.matching import Matcher, compile_rules
from communities.post import read_post
from tests.world.keys import make_did

SIZES = (10, 1_000, 100_000)
MATCH_SHARE = 0.05
OF_SMALLEST = 1.3
WORDS = (
    "the a my our this that with without about under over bird garden code train river music winter morning"
    " coffee paper light window yesterday tomorrow always never maybe today quiet loud green old new small long"
).split()


def run(*, quick: bool) -> Report:
    """Measure the same posts against rule sets of each size, by turns."""
    posts = make_posts(2_000 if quick else 20_000)
    measured, _ = share_out()
    pin(measured)
    matchers = {size: make_matcher(size) for size in SIZES}
    matches = {size: sum(len(matcher.match(*read(post))) for post in posts) for size, matcher in matchers.items()}
    if len(set(matches.values())) != 1 or not matches[SIZES[0]]:
        raise AssertionError(f"the sizes do not match the same posts: {matches}")
    event: dict[int, list[float]] = {size: [] for size in SIZES}
    match: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(2 if quick else 15):
        for size, matcher in matchers.items():
            event[size].append(time_events(matcher, posts))
            match[size].append(time_matches(matcher, posts))
    rows = [
        (
            f"{size:,}",
            spread(event[size], "us"),
            number(median(ratios(event[size], event[SIZES[0]]))),
            spread(match[size], "us"),
            number(median(ratios(match[size], match[SIZES[0]]))),
        )
        for size in SIZES
    ]
    growth = median(ratios(event[SIZES[-1]], event[SIZES[0]]))
    return Report(
        name="matching",
        title="Matching",
        notes=(
            f"{len(posts):,} post records, {matches[SIZES[0]]:,} matches at every size. Each community has two"
            " hashtags, a keyword phrase, an account that is mentioned and two members. An event is what every post"
            " of the network costs: the facts are read from the record, and matched.",
        ),
        tables=(
            Table(
                "Cost by number of communities:",
                ("communities", "an event", "of smallest", "matching alone", "of smallest"),
                tuple(rows),
            ),
        ),
        targets=(Target("an event at 100,000, of 10 communities", growth, OF_SMALLEST, "", at_most=True),),
        command="make bench ARGS=matching",
    )


def make_matcher(size: int) -> Matcher:
    """`size` communities, of which the first ten are the same at every size."""
    people = [make_did(f"rules {number}") for number in range(300)]
    return compile_rules(
        (
            (
                number,
                Community(
                    f"community{number}",
                    f"Community {number}",
                    include=Include(
                        hashtags=(f"community{number}", f"topic{number}"),
                        keywords=(f"subject{number} matter",),
                        mentions=(people[number % 100],),
                        members=(people[100 + number % 100], people[200 + number % 100]),
                    ),
                ),
            )
            for number in range(size)
        ),
        {},
    )


def make_posts(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Posts of realistic length by authors whom no rule names; some carry a tag of the first ten communities."""
    rng = random.Random(7)
    authors = [make_did(f"author {number}") for number in range(1000)]
    posts = []
    for at in range(count):
        text = " ".join(rng.choices(WORDS, k=rng.randint(3, 45)))[:250]
        record: dict[str, Any] = {
            "$type": "app.bsky.feed.post",
            "text": text,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "langs": ["en"],
        }
        tags = [f"other{rng.randrange(10_000)}" for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        if rng.random() < MATCH_SHARE:
            tags.append(f"Community{rng.randrange(10)}")
        for tag in tags:
            start = len(record["text"]) + 1
            record["text"] += f" #{tag}"
            feature = {"$type": "app.bsky.richtext.facet#tag", "tag": tag}
            index = {"byteStart": start, "byteEnd": start + len(tag) + 1}
            record.setdefault("facets", []).append({"index": index, "features": [feature]})
        posts.append((authors[at % 1000], record))
    return posts


def read(post: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    """The author and the facts of a post."""
    return post[0], read_post(post[1])


def time_events(matcher: Matcher, posts: list[tuple[str, dict[str, Any]]]) -> float:
    """Microseconds a post, reading and matching."""
    match = matcher.match
    began = time.perf_counter()
    for did, record in posts:
        facts = read_post(record)
        if facts is not None:
            match(did, facts)
    return (time.perf_counter() - began) / len(posts) * 1e6


def time_matches(matcher: Matcher, posts: list[tuple[str, dict[str, Any]]]) -> float:
    """Microseconds a post, matching alone."""
    facts = [read(post) for post in posts]
    match = matcher.match
    began = time.perf_counter()
    for did, post in facts:
        match(did, post)
    return (time.perf_counter() - began) / len(posts) * 1e6
