"""The option --no-skips, on which the check before every merge relies: what was not run must fail it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_pytest(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={file.parent}", *options, str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize(
    "skipped",
    [
        "def test_it(): pytest.skip('no server')",
        "pytest.skip('no server', allow_module_level=True)",
        "@pytest.mark.skip(reason='no server')\ndef test_it(): ...",
        "@pytest.fixture\ndef it(): pytest.skip('no server')\ndef test_it(it): ...",
    ],
    ids=["in the test", "in the module", "by a mark", "in a fixture"],
)
def test_a_skip_fails_the_run_and_is_named(tmp_path: Path, skipped: str) -> None:
    file = tmp_path / "test_one.py"
    file.write_text(f"import pytest\ndef test_other(): ...\n{skipped}\n", encoding="utf-8")
    strict = run_pytest(file, "--no-skips")
    assert strict.returncode == pytest.ExitCode.TESTS_FAILED
    assert "not run, which --no-skips forbids" in strict.stdout
    assert "no server" in strict.stdout


def test_a_run_without_skips_passes(tmp_path: Path, shared_data: Path) -> None:
    file = tmp_path / "test_one.py"
    file.write_text("def test_it(): ...\n", encoding="utf-8")
    strict = run_pytest(file, "--no-skips")
    assert strict.returncode == pytest.ExitCode.OK, strict.stdout
