"""The house: who may import whom, what importing does, what the wheel holds, and whose the package names are."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.ownership import PACKAGES, OwnershipError, check_ownership
from service.wiring import VERSION
from tests.service_process import clean_environ, console_script

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BELOW = {
    "models": set(),
    "xrpc": set(),
    "lexicons": set(),
    "communities": {"models", "xrpc"},
    "civic": {"communities", "labeler", "models", "xrpc"},
    "feedgen": {"communities", "models", "xrpc"},
    "firehose": {"communities", "models", "xrpc", "lexicons"},
    "labeler": {"communities", "models", "xrpc", "lexicons"},
    "ozone": {"communities", "labeler", "models", "xrpc"},
    "service": {"civic", "communities", "feedgen", "firehose", "labeler", "lexicons", "models", "ozone", "xrpc"},
}  # fmt: skip


def sources() -> list[Path]:
    """Every module of ours."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Each import of a module: what it names, and the names taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module), [alias.name for alias in node.names]


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_point_down_only(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = {package, *BELOW[package]}
    for module, names in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top = module.partition(".")[0]
        assert top not in BELOW or top in allowed, f"{package} may not import {module}"
        assert top not in ("tests", "bench")
        # The generated models cost seconds and hundreds of megabytes; only single ones may be imported, where used.
        assert not (module == "atproto" and "models" in names) and module != "atproto_client.models"


def test_every_package_is_listed_and_has_a_place() -> None:
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(PACKAGES) == sorted(BELOW)
    nested = [path for path in sources() if len(path.relative_to(ROOT).parts) > 2]
    assert nested == [], "the list of packages is not recursive"


AT_IMPORT = """
import importlib, sys, threading
names = sys.argv[1:]
for name in names: importlib.import_module(name)
# Now that everything of others is loaded, ours once more, and whatever it does is noted.
for name in names: del sys.modules[name]
done = []
def note(event, args):
    if event == "open":
        # Modules, and the metadata that say our version (looked for in every place of the path, zipped ones too).
        good = str(args[0]).endswith((".py", ".pyc", ".zip", "METADATA", "PKG-INFO"))
        if args[1] not in ("r", "rb", None) or not good: done.append((event, str(args[0])))
    elif event.split(".")[0] in ("socket", "subprocess", "os", "sqlite3", "shutil", "_thread", "tempfile", "signal"):
        if event not in ("os.listdir", "os.scandir"): done.append((event, str(args)[:200]))
sys.addaudithook(note)
for name in names: importlib.import_module(name)
found = list(done)
assert threading.active_count() == 1, threading.enumerate()
assert "asyncio" not in sys.modules or sys.modules["asyncio"]._get_running_loop() is None
print(found)
"""


def test_importing_does_nothing(tmp_path: Path) -> None:
    names = [module_name(path) for path in sources() if path.name != "__main__.py"]
    command = [sys.executable, "-B", "-c", AT_IMPORT, *names]
    environ = clean_environ({}) | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_only_the_command_line_reads_the_environment() -> None:
    reading = [
        module_name(path)
        for path in sources()
        if re.search(r"\bos\.(environ|getenv)|\bgetenv\(", path.read_text(encoding="utf-8"))
    ]
    assert reading == ["service.cli"]


def test_what_keeps_a_post_out_of_sight_is_written_by_those_that_it_names() -> None:
    """`communities.admission` says who writes `feed_item.hidden`, and when. Decisions do it by `put_item`."""
    texts = {module_name(path): path.read_text(encoding="utf-8") for path in sources()}
    running = {name: text for name, text in texts.items() if not name.startswith("models.steps_")}
    writing = {name for name, text in running.items() if re.search(r"\b(UPDATE|INTO) feed_item\b", text)}
    deciding = {name for name, text in texts.items() if re.search(r"\bput_item\(", text)}
    assert writing & deciding == {"communities.stored"}
    named = re.findall(r"^    ((?:firehose|communities)\.\w+)  ", texts["communities.admission"], re.MULTILINE)
    assert sorted(named) == sorted((writing | deciding) - {"communities.stored"})


def test_the_help_is_quick() -> None:
    """`--help` loads neither the SDK nor the web server."""
    code = (
        "import sys; from service.cli import main; main(['--help']); print([m for m in ('atproto', 'aiohttp', 'apsw')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code + " if m in sys.modules])"],
        cwd=ROOT, env=clean_environ({}), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout.endswith("[]\n")


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "project"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w"]
    subprocess.run([*pip, str(folder), str(copy)], check=True, timeout=120)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {str(path.relative_to(ROOT)) for path in sources()} | {
        "service/communities.example.toml",
        "service/labels.example.toml",
    }
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "lexicons").rglob("*.json")}
    info = f"communities-{PROJECT['project']['version']}.dist-info/"
    assert {name for name in names if not name.startswith(info)} == expected
    assert {info + "licenses/LICENSE", info + "entry_points.txt"} <= names


def test_the_version_is_written_once(wheel: Path) -> None:
    version = PROJECT["project"]["version"]
    assert f"-{version}-" in wheel.name
    assert [path for path in sources() if version in path.read_text(encoding="utf-8")] == []
    assert version == VERSION


def test_it_is_never_uploaded_by_accident() -> None:
    assert "Private :: Do Not Upload" in PROJECT["project"]["classifiers"]


# Whose the names are


def test_what_is_installed_here_is_ours_alone() -> None:
    check_ownership()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"feedgen": ["feedgen", "communities"]}, "feedgen: also installed by feedgen"),
        ({"models": ["a", "communities", "b"]}, "models: also installed by a, b"),
        ({"xrpc": ["other"]}, "xrpc: also installed by other"),
        ({"labeler": []}, "labeler: not installed by communities"),
    ],
)
def test_a_name_that_is_not_ours_alone(change: dict[str, list[str]], said: str) -> None:
    owners = {package: ["communities"] for package in PACKAGES} | {"aiohttp": ["aiohttp"]}
    check_ownership(owners)
    with pytest.raises(OwnershipError) as refused:
        check_ownership(owners | change)
    assert said in str(refused.value)
    with pytest.raises(OwnershipError) as refused:
        check_ownership({})
    assert all(f"{package}: not installed" in str(refused.value) for package in PACKAGES)


def test_a_distribution_that_overwrites_ours_is_refused(tmp_path: Path) -> None:
    """A real one, installed by pip into a folder of the path: no command runs, and the message says what to do."""
    built = tmp_path / "feedgen-9.0-py3-none-any.whl"
    info = "feedgen-9.0.dist-info"
    record = "feedgen/__init__.py,,\n" + "".join(f"{info}/{name},,\n" for name in ("METADATA", "WHEEL", "RECORD"))
    with zipfile.ZipFile(built, "w") as archive:
        archive.writestr("feedgen/__init__.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: feedgen\nVersion: 9.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", record)
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(target), str(built)]
    subprocess.run(pip, check=True, timeout=120)
    environ = clean_environ({"data": str(tmp_path / "data")}) | {"PYTHONPATH": str(target)}
    options: dict[str, Any] = {"cwd": tmp_path, "env": environ, "capture_output": True, "text": True, "timeout": 60}
    ran = subprocess.run([console_script(), "ingest"], check=False, **options)
    assert ran.returncode == 2 and ran.stdout == ""
    assert "feedgen: also installed by feedgen" in ran.stderr and "virtual environment" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "data").exists()
