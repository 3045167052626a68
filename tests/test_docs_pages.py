"""The pages of docs/: their links lead somewhere, README names all, and tests and files that they name are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def anchors(page: Path) -> set[str]:
    """What stands behind # in links to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            target, _, anchor = link.partition("#")
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


def test_the_readme_names_every_page() -> None:
    named = set(re.findall(r"\(docs/([A-Z]+\.md)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_invariants_are_numbered_and_their_tests_are_there() -> None:
    text = (ROOT / "docs" / "INVARIANTS.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    for number, _, _, tests in rows:
        named = re.findall(r"`(test_\w+\*?)`", tests)
        assert named, f"invariant {number} names no test"
        assert [name for name in named if not list((ROOT / "tests").glob(f"{name}.py"))] == []


def test_the_tests_that_show_what_ozone_does_are_there() -> None:
    rows = re.findall(
        r"(?m)^\| .+ \| (`.+`|not here.+) \|$", (ROOT / "docs" / "MIGRATING.md").read_text(encoding="utf-8")
    )
    named = re.findall(r"`((?:network/)?test_\w+)`", " ".join(rows))
    assert len(named) > 50
    assert sorted({name for name in named if not (ROOT / "tests" / f"{name}.py").exists()}) == []


def test_the_files_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = "civic|communities|feedgen|firehose|labeler|models|ozone|service|xrpc"
    named = re.findall(rf"`((?:{packages})/\w+)(?:\.py)?`", text)
    assert len(named) > 50
    assert sorted({name for name in named if not (ROOT / f"{name}.py").exists()}) == []
