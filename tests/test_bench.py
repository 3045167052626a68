"""The benchmarks run and say what they measured. Nothing here looks at how fast anything was."""

import json
import re
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bench import labels_peer
from bench.__main__ import MARKER, NAMES, write_below
from bench.label_followers import following
from bench.report import Machine, Report, Table, Target, number, ratios, spread
from labeler.frames import on_the_wire
from tests.service_process import PATIENCE, clean_environ

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_prints_its_report(name: str) -> None:
    if name.startswith("labels") and (fault := labels_peer.why_not()):
        pytest.skip(fault)
    ran = subprocess.run(
        [sys.executable, "-m", "bench", name, "--quick", "--json"],
        cwd=ROOT,
        env=clean_environ({}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300 * PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert {"processor", "cores", "python", "sqlite", "libraries"} <= said["machine"].keys()
    (report,) = said["benchmarks"]
    assert report["name"] == name and report["targets"] and report["command"].startswith("make bench")
    for table in report["tables"]:
        assert {len(row) for row in table["rows"]} <= {len(table["columns"])}
    for target in report["targets"]:
        assert target["measured"] == target["measured"] and isinstance(target["met"], bool)


@pytest.mark.parametrize(
    ("seqs", "seen"),
    [((8, 9, 10), None), ((8, 10), "10 came after 8"), ((9, 8, 10), "9 came after 7"), ((8,), "cut off behind 8")],
)
def test_a_subscriber_who_is_wronged_is_noticed(seqs: tuple[int, ...], seen: str | None) -> None:
    said = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + on_the_wire([(seq, b"\xa1avax" + bytes(40)) for seq in seqs])

    def serve(server: socket.socket) -> None:
        for _ in range(2):
            client, _ = server.accept()
            with client:
                assert client.recv(4096).startswith(b"GET /xrpc/com.atproto.label.subscribeLabels?cursor=7 HTTP/1.1")
                client.sendall(said[:90])
                client.sendall(said[90:])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        with following(server.getsockname()[1], "localhost", 2, 7, 10, None) as crowd:
            if seen is None:
                assert crowd.wait(60).messages == 6
            else:
                with pytest.raises(AssertionError, match=f"2 subscribers were wronged, such as: {seen}"):
                    crowd.wait(60)
        thread.join()


def test_targets_are_met_at_their_goal() -> None:
    assert Target("rate", 5.0, 5.0, "").met and not Target("rate", 4.9, 5.0, "").met
    assert Target("growth", 1.3, 1.3, "", at_most=True).met and not Target("growth", 1.31, 1.3, "", at_most=True).met


def test_figures() -> None:
    assert [number(value) for value in (26543.2, 431.7, 13.55, 0.1234)] == ["26,543", "432", "13.6", "0.123"]
    assert number(0.6149, "%") == "61.5 %" and number(2.5, "ms") == "2.5 ms"
    assert spread([3.0, 1.0, 2.0], "us") == "2 us (1 to 3)"
    assert ratios([1.0, 4.0], [2.0, 4.0]) == [0.5, 1.0]


def test_the_tables_replace_the_last_ones_and_no_others(tmp_path: Path) -> None:
    report = Report(
        "x", "A title", ("A note.",), (Table("Rows:", ("what", "n"), (("a", "1"),)),), (Target("t", 1, 2, ""),), "make"
    )
    file = tmp_path / "page.md"
    file.write_text(f"# Page\n\nKept.\n\n{MARKER}\n\n## A title\n\nold\n\n## Another\n\nstays\n", encoding="utf-8")
    where = Machine("a processor", 2, "a system", "3.11", "3.50")
    new = replace(report, title="A new one")
    for _ in range(2):
        write_below(file, [report.markdown(where), new.markdown(where)])
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"# Page\n\nKept.\n\n{MARKER}\n\n## A title\n\na processor, 2 cores;")
    assert re.findall(r"(?m)^## (.*)$", text) == ["A title", "Another", "A new one"]
    assert text.count(MARKER) == 1 and "old" not in text and "\n\nstays\n\n" in text
    assert (
        "| what |   n |" not in text and "| a    | 1 |" in text and "| t      |        1 | at least 2 |  NO |" in text
    )
    write_below(tmp_path / "none.md", [report.markdown(where)])
    assert (tmp_path / "none.md").read_text(encoding="utf-8").startswith(f"{MARKER}\n\n## A title\n\n")
    assert MARKER in (ROOT / "docs" / "BENCHMARKS.md").read_text(encoding="utf-8")
