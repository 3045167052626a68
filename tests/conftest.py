"""What every test may use: the option --no-skips, the public vectors, the real service as a child process."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from tests.service_process import Program, Service

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
RUNNING = pytest.StashKey[list[Program]]()


class NoSkips:
    """The option --no-skips: whatever was not run fails the session, and the end of the report names it."""

    def __init__(self) -> None:
        self.missed = [] if SHARED_DATA.is_dir() else [f"the public vectors are not at {SHARED_DATA}"]

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self.missed.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.note(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.missed and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.missed:
            terminalreporter.section("not run, which --no-skips forbids", red=True)
            for line in self.missed:
                terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="fail when a test is skipped or the public vectors are absent"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RUNNING] = []
    settings.register_profile("patient", deadline=None)  # how long an example takes, a loaded machine decides
    settings.load_profile("patient")
    if config.getoption("--no-skips"):
        config.pluginmanager.register(NoSkips(), "no-skips")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"log of {it.name}", it.log_tail()) for it in item.config.stash[RUNNING]]
    return report


@contextmanager
def running(config: pytest.Config, program: Program) -> Iterator[None]:
    """While it runs, the log of `program` is shown with every failure; it is stopped at the end, checked."""
    config.stash[RUNNING].append(program)
    try:
        yield
    finally:
        config.stash[RUNNING].remove(program)
        program.stop()


@pytest.fixture(scope="session", autouse=True)
def tagged_when_asked() -> Iterator[None]:
    """In sites of this process nothing is tagged by itself: tests that are about it say when."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.tagging.LOOK_SECONDS", 1e6)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public test vectors beside the project; tests that need it are skipped without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the public vectors are not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def start_service(tmp_path: Path, pytestconfig: pytest.Config) -> Iterator[Callable[..., Service]]:
    """`(rules, command="run", **settings) -> Service`, started; each is stopped by SIGTERM at the end."""
    with ExitStack() as stack:

        def start(rules: str = "", command: str = "run", **settings: str) -> Service:
            folder = tmp_path / f"service-{len(pytestconfig.stash[RUNNING])}"
            service = Service(folder, rules, command, **settings).start()
            stack.enter_context(running(pytestconfig, service))
            return service

        yield start
