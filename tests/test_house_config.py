"""The settings: the class, `.env.example` and docs/CONFIG.md say the same; faults come all at once; secrets stay in."""

from dataclasses import FrozenInstanceError, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from firehose.source import parse_sources
from service.config import PREFIX, Config, read_config
from service.env_file import ConfigError, read_env_file
from tests.didnet import plc

ROOT = Path(__file__).parents[1]
SETTINGS = [
    (PREFIX + field.name.upper(), field.metadata["default"], field.metadata["about"]) for field in fields(Config)
]


def test_the_example_file_is_the_class() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    _, *blocks = text.rstrip("\n").split("\n\n")
    assert blocks == [f"# {about}\n#{key}={default}" for key, default, about in SETTINGS]


def test_the_document_is_the_class() -> None:
    text = (ROOT / "docs" / "CONFIG.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(f"| `{PREFIX}")]
    assert rows == [
        f"| `{key}` | {f'`{default}`' if default else '(empty)'} | {about} |" for key, default, about in SETTINGS
    ]


def test_the_example_file_changes_nothing_when_it_is_copied(tmp_path: Path) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    path = tmp_path / ".env"
    path.write_text("\n".join(line.removeprefix("#") if line.startswith("#" + PREFIX) else line for line in lines))
    assert read_config({}, path) == Config() == read_config({"PATH": "/bin"}, None)
    assert len(read_env_file(path)) == len(SETTINGS)


def test_every_setting_can_be_given_and_the_environment_wins(tmp_path: Path) -> None:
    given: dict[str, tuple[str, Any]] = {
        "hostname": ("feeds.example.org:8443", "feeds.example.org:8443"),
        "service_did": (plc(1), plc(1)),
        "publisher_did": ("did:web:example.org", "did:web:example.org"),
        "rules": ("x/y.toml", Path("x/y.toml")),
        "data": ("/srv/data", Path("/srv/data")),
        "listen_host": ("::", "::"),
        "listen_port": ("0", 0),
        "metrics_host": ("::1", "::1"),
        "metrics_port": ("65535", 65535),
        "trusted_proxies": ("10.0.0.0/8 ::1", (ip_network("10.0.0.0/8"), ip_network("::1"))),
        "source": (
            "tap+ws://admin:pw@localhost:99/, wss://a.example",
            parse_sources("tap+ws://admin:pw@localhost:99,wss://a.example"),
        ),
        "verify": ("all", "all"),
        "plc_url": ("http://localhost:1", "http://localhost:1"),
        "appview_url": ("https://a.example", "https://a.example"),
        "egress_allow": ("localhost, 127.0.0.1 x", ("localhost", "127.0.0.1", "x")),
        "retention_days": ("1", 1),
        "max_post_age_days": ("3650", 3650),
        "list_refresh_minutes": ("5", 5),
        "damp_seen_hours": ("0", 0),
        "prefer_languages": ("off", False),
        "privacy_url": ("https://a.example/p", "https://a.example/p"),
        "terms_url": ("https://a.example/t", "https://a.example/t"),
        "pds_url": ("https://pds.example", "https://pds.example"),
        "handle": ("a.example", "a.example"),
        "app_password": ("abcd-efgh", "abcd-efgh"),
        "admins": (f"{plc(1)}, did:web:a.example", (plc(1), "did:web:a.example")),
        "moderators": (plc(2), (plc(2),)),
        "founders": (plc(3), (plc(3),)),
        "report_merge_hours": ("0", 0),
        "appeal_days": ("30", 30),
        "forward_account": ("Desk.Example.com", "desk.example.com"),
        "forward_password": ("efgh-abcd", "efgh-abcd"),
        "forward_to": (f"{plc(4)} did:web:b.example", (plc(4), "did:web:b.example")),
        "labels": ("etc/l.toml", Path("etc/l.toml")),
        "labeler_passphrase": ("a long one, 123", "a long one, 123"),
        "labeler_key": ("0A" * 32, "0a" * 32),
        "label_pace": ("10", 10),
        "canary_post": (f"at://{plc(1)}/app.bsky.feed.post/3k", f"at://{plc(1)}/app.bsky.feed.post/3k"),
        "canary_value": ("probe", "probe"),
        "canary_hours": ("1", 1),
        "log_level": ("debug", "debug"),
    }
    assert given.keys() == {field.name for field in fields(Config)}
    path = tmp_path / ".env"
    path.write_text("".join(f"{PREFIX}{name.upper()}={text}\n" for name, (text, _) in given.items()))
    path.chmod(0o600)
    config = read_config({}, path)
    assert {name: getattr(config, name) for name in given} == {name: value for name, (_, value) in given.items()}
    assert read_config({PREFIX + "LOG_LEVEL": "error"}, path).log_level == "error"
    with pytest.raises(FrozenInstanceError):
        config.hostname = "x"  # type: ignore[misc]


def test_the_dids_are_two_things() -> None:
    def dids(**given: str) -> tuple[str, str, str]:
        config = read_config({PREFIX + name.upper(): value for name, value in given.items()})
        return config.did, config.publisher, config.endpoint

    assert dids(hostname="a.example") == ("did:web:a.example", "did:web:a.example", "https://a.example")
    assert dids() == ("did:web:localhost%3A3000", "did:web:localhost%3A3000", "http://localhost:3000")
    both = dids(hostname="a.example", service_did=plc(1), publisher_did=plc(2))
    assert both == (plc(1), plc(2), "https://a.example")


BAD = {
    "hostname": ["", "https://a.example", "a.example/", "A.example", "a b", "-a", "a:", "a.ex:65536", "a:0", "a\n"],
    "service_did": ["did:key:z", "did:plc:short", "x"],
    "publisher_did": ["alice.example.com"],
    "listen_host": [""],
    "metrics_host": [""],
    "listen_port": ["", "-1", "65536", "3000.0", "１０", " 80", "1e3"],
    "metrics_port": ["x"],
    "trusted_proxies": ["x", "10.0.0.1/8"],
    "source": ["", "https://bsky.network", "wss://", "bsky.network", "wss://[", "wss://a:x", "wss://a:0", "wss://a,"],
    "rules": [""],
    "data": [""],
    "plc_url": ["ftp://x", ""],
    "retention_days": ["0", "3651"],
    "damp_seen_hours": ["41", "-1", "on"],
    "prefer_languages": ["", "yes", "ON"],
    "privacy_url": ["http://a.example", "x"],
    "founders": ["everybody", f"{plc(1)},nobody"],
    "admins": ["alice.example.com", "did:plc:short", f"{plc(1)},x"],
    "moderators": ["*"],
    "log_level": ["INFO", "verbose", ""],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config({PREFIX + name.upper(): value})
    assert str(refused.value).startswith(f"{PREFIX}{name.upper()}: {value!r} ")


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{PREFIX}LISTEN_PORT=x\n{PREFIX}HOSTNAMES=a\n")
    with pytest.raises(ConfigError) as refused:
        read_config({PREFIX + "SOURCE": "x", PREFIX: "1", PREFIX + "listen_port": "1"}, path)
    lines = str(refused.value).split("\n")
    assert [line.partition(":")[0].removeprefix(PREFIX) for line in lines] == [
        "", "HOSTNAMES", "LISTEN_PORT", "SOURCE", "listen_port",
    ]  # fmt: skip
    assert sum("no such setting" in line for line in lines) == 3


def test_how_an_env_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# a comment\n\n  A = 1 \nexport B='x y'\nC=\"é#=\"\nD=\nE='\nF=a'b'\n", encoding="utf-8")
    assert read_env_file(path) == {"A": "1", "B": "x y", "C": "é#=", "D": "", "E": "'", "F": "a'b'"}


def test_a_comment_may_stand_behind_a_value(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    lines = ["A=1  # one", "B='a # b' # two", "C= # nothing", "D=#1#2", 'E="" #', "F=x\t#y"]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    assert read_env_file(path) == {"A": "1", "B": "a # b", "C": "", "D": "#1#2", "E": "", "F": "x"}


def test_the_settings_of_the_readme_can_be_copied(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = [line.strip() for line in text.splitlines() if line.startswith("       " + PREFIX)]
    path = tmp_path / ".env"
    path.write_text("\n".join(block).replace("did:plc:...", plc(1)))
    path.chmod(0o600)  # as it says there
    config = read_config({}, path)
    assert len(block) == 5
    assert (config.publisher, config.pds_url) == (plc(1), "https://bsky.social")


def test_two_listeners_need_two_ports() -> None:
    same = {PREFIX + "LISTEN_PORT": "3001"}
    with pytest.raises(ConfigError, match="LISTEN_PORT and COMMUNITIES_METRICS_PORT: both are 3001"):
        read_config(same)
    assert read_config(same | {PREFIX + "METRICS_HOST": "::1"}).listen_port == 3001
    assert read_config({PREFIX + "LISTEN_PORT": "0", PREFIX + "METRICS_PORT": "0"}).metrics_port == 0


def test_s169_the_password_of_a_source_is_shown_nowhere() -> None:
    secret = "canary-1234"
    config = read_config({PREFIX + "SOURCE": f"wss://a.example,tap+ws://admin:{secret}@127.0.0.1:2480"})
    assert config.source_urls == ("wss://a.example", "tap+ws://admin@127.0.0.1:2480")
    assert secret not in f"{config} {config!r} {config.source}"
    for bad in (f"tap+ws://admin:{secret}@", f"https://admin:{secret}@x", f"tap+ws://admin:{secret}@far.example"):
        with pytest.raises(ConfigError) as refused:
            read_config({PREFIX + "SOURCE": bad})
        assert secret not in str(refused.value)
    assert "is not encrypted; write tap+wss://admin@far.example " in str(refused.value)


@pytest.mark.parametrize("line", ["A", "=1", "A B=1", "A-B=1", "1A=2", "é=1"])
def test_a_line_of_an_env_file_that_says_nothing(tmp_path: Path, line: str) -> None:
    path = tmp_path / ".env"
    path.write_text(f"# x\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\.env:2: expected KEY=value"):
        read_config({}, path)


def test_an_env_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"\.env: cannot be read"):
        read_config({}, path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match=r"\.env: cannot be read"):
        read_config({}, path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602])
@pytest.mark.parametrize(
    "setting",
    [
        "APP_PASSWORD=abcd-efgh",
        "SOURCE=tap+ws://admin:pw@localhost:99",
        "LABELER_PASSPHRASE=a long one, 123",
        f"LABELER_KEY={'1f' * 32}",
    ],
)
def test_s171_a_password_in_a_file_that_others_may_read_is_refused(tmp_path: Path, setting: str, mode: int) -> None:
    path = tmp_path / ".env"
    path.write_text(f"{PREFIX}{setting}\n")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"^{PREFIX}{setting.partition('=')[0]}: other users .* chmod 600 {path}$"):
        read_config({}, path)
    path.chmod(0o600)
    read_config({}, path)
    path.chmod(mode)
    path.write_text(f"{PREFIX}{setting.partition('=')[0]}={'wss://a.example' if 'SOURCE' in setting else ''}\n")
    read_config({}, path)


@pytest.mark.parametrize("name", ["APP_PASSWORD", "FORWARD_PASSWORD"])
def test_s169_the_app_password_is_shown_nowhere(tmp_path: Path, name: str) -> None:
    secret = "canary-1234-5678"
    config = read_config({PREFIX + name: secret})
    assert getattr(config, name.lower()) == secret
    assert secret not in f"{config} {config!r} {[config]} {config!s}"
    path = tmp_path / ".env"
    path.write_text(f"{PREFIX}APP_PASWORD={secret}\n{PREFIX}{name}={secret}\n{PREFIX}LOG_LEVEL=x\n")
    with pytest.raises(ConfigError) as refused:
        read_config({}, path)
    assert secret not in str(refused.value)
    path.write_text(f"{PREFIX}{name} {secret}\n")
    with pytest.raises(ConfigError) as refused:
        read_config({}, path)
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [("LABELER_PASSPHRASE", "canary-1234-5678", "canary-1234"), ("LABELER_KEY", "ca" * 32, "ca" * 31 + "zz")],
)
def test_s169_the_secrets_of_a_labeler_are_shown_nowhere(name: str, good: str, bad: str) -> None:
    config = read_config({PREFIX + name: good})
    assert getattr(config, name.lower()) == good
    assert good not in f"{config} {config!r} {[config]}" and name.lower() not in repr(config)
    with pytest.raises(ConfigError, match=f"^{PREFIX}{name}: the value given must (have at least 12|be 64)") as refused:
        read_config({PREFIX + name: bad})
    assert bad not in str(refused.value)
