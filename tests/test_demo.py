"""`make demo` comes up, prints lines that answer, and ends cleanly."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service_process import PATIENCE

ROOT = Path(__file__).parents[1]


@pytest.fixture
def demo(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The demonstration as a child process, with the arguments of the test's parameter."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo", "--pace", "0.2", *request.param],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("demo", [["--once"]], indirect=True)
def test_demo_prints_lines_that_answer(demo: subprocess.Popen[str]) -> None:
    output, _ = demo.communicate(timeout=90 * PATIENCE)
    assert demo.returncode == 0, output
    assert output.count("\ncurl ") == 12
    methods = ("getCommunity", "listCommunities", "listMembers", "getDecisions")
    assert [method for method in methods if f"/xrpc/social.communities.{method}?" not in output] == []
    assert "/app.bsky.feed.generator/birds.queue" in output
    assert "app.bsky.feed.getFeedSkeleton?feed=at://did:plc:" in output


@pytest.mark.parametrize("demo", [[]], indirect=True)
def test_demo_runs_until_interrupted(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout
    seen = []
    for line in demo.stdout:
        seen.append(line)
        if " posts: " in line:
            break
    assert demo.poll() is None, "".join(seen)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=60 * PATIENCE)
    assert demo.returncode == 0, "".join(seen) + output
    assert "Stopped." in output
