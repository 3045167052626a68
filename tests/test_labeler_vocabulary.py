"""labels.toml: every fault at once, with its line and key; and the record that is made of it."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from communities.toml_file import DeclarationError
from labeler.label import fault_of_value
from labeler.labels_file import read_labels
from labeler.vocabulary import MOST_BYTES, Declared, parse_labelers, record_bytes, service_record
from labeler.vocabulary_keys import BLURS, NOT_OURS, SETTINGS, SEVERITIES
from tests.conftest import SHARED_DATA
from tests.didnet import plc

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "service" / "labels.example.toml"
HEAD = f'[[labeler]]\ndid = "{plc(1)}"\nendpoint = "https://labels.example.org"\n'
LABEL = '[[labeler.label]]\nvalue = "spoiler"\nseverity = "inform"\nblurs = "content"\n'
EN = '[labeler.label.locales.en]\nname = "Spoiler"\ndescription = "Tells the end."\n'
GOOD = HEAD + LABEL + EN


def faults(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as refused:
        parse_labelers(text, "l.toml")
    return str(refused.value).split("\n")


def only(text: str) -> Declared:
    (declared,) = parse_labelers(text)
    return declared


def test_a_labeler_is_read() -> None:
    text = HEAD + (
        'communities = ["python", "birds"]\nsystem = ["!hide"]\nnegate_expired = false\n'
        'reason_types = ["com.atproto.moderation.defs#reasonSpam", "tools.ozone.report.defs#reasonHarassmentTroll"]\n'
        'subject_types = ["account"]\nsubject_collections = []\n'
    )
    text += LABEL + 'default_setting = "hide"\nadult_only = true\n' + EN
    text += '[labeler.label.locales.pt-BR]\nname = "Fim"\ndescription = "Conta o fim."\n'
    found = only(text)
    assert (found.did, found.endpoint, found.host) == (plc(1), "https://labels.example.org", "labels.example.org")
    assert found.communities == {"python", "birds"} and found.values == {"spoiler", "!hide"}
    assert found.negate_expired is False and found.subject_types == {"account"} and found.subject_collections == set()
    definition = found.definitions["spoiler"]
    assert (definition.severity, definition.blurs, definition.default_setting) == ("inform", "content", "hide")
    assert definition.adult_only and [locale.lang for locale in definition.locales] == ["en", "pt-BR"]


def test_what_is_left_out() -> None:
    found = only(GOOD)
    assert found.communities == set() and found.system == set() and found.negate_expired
    assert found.takedown is None
    assert found.reason_types is found.subject_types is found.subject_collections is None
    assert found.definitions["spoiler"].default_setting == "warn" and not found.definitions["spoiler"].adult_only


def test_without_a_file_there_are_no_labelers(tmp_path: Path) -> None:
    assert read_labels(tmp_path / "labels.toml").labelers == ()
    (tmp_path / "empty.toml").write_text("# nothing\n")
    assert read_labels(tmp_path / "empty.toml").labelers == ()
    with pytest.raises(DeclarationError, match="it is no file"):
        read_labels(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(DeclarationError, match="cannot be read"):
        read_labels(tmp_path / "bad.toml")


def test_every_fault_is_told_at_once_with_its_line() -> None:
    text = (
        f'[[labeler]]\ndid = "{plc(1)}"\nendpoint = "https://labels.example.org/xrpc"\ncolour = 1\n'
        '[[labeler.label]]\nvalue = "Spoiler"\nblurs = "all"\n'
        "[labeler.label.locales.en]\nname = ''\n"
        '[[labeler.label]]\nvalue = "spam"\nseverity = "alert"\nblurs = "none"\n'
        '[labeler.label.locales.e_n]\nname = "x"\ndescription = "y"\n'
        "[other]\n"
    )
    assert [fault.partition(": ")[0] + ": " + fault.split(": ")[1] for fault in faults(text)] == [
        "l.toml:17: other",
        "l.toml:3: labeler[1].endpoint",
        "l.toml:4: labeler[1].colour",
        "l.toml:6: labeler[1].label[1].value",
        "l.toml:7: labeler[1].label[1].blurs",
        "l.toml:5: labeler[1].label[1].severity",
        "l.toml:9: labeler[1].label[1].locales.en.name",
        "l.toml:8: labeler[1].label[1].locales.en.description",
        "l.toml:14: labeler[1].label[2].locales.e_n",
    ]


@pytest.mark.parametrize(("head", "value"), [("", "spoiler"), ('system = ["!hide"]\n', "!hide")])
def test_the_value_of_takedowns_is_one_that_is_declared(head: str, value: str) -> None:
    declared = only(GOOD.replace(LABEL, head + f'takedown = "{value}"\n' + LABEL))
    assert declared.takedown == value and "takedown" not in json.dumps(service_record(declared, "2026-01-01T00:00:00Z"))


def test_takedowns_that_issue_what_takes_two_people_take_two() -> None:
    named = GOOD.replace(LABEL, 'takedown = "spoiler"\n' + LABEL)
    twice = 'value = "spoiler"\ntwo_person = true'
    assert not only(GOOD.replace('value = "spoiler"', twice)).two_person and not only(named).two_person
    assert only(named.replace('value = "spoiler"', twice)).two_person
    assert only(named.replace("takedown =", "two_person = true\ntakedown =")).two_person


@pytest.mark.parametrize(
    ("change", "at", "said"),
    [
        (('did = "did:plc', 'did = "did:key'), "labeler[1].did", "must be the DID"),
        (("https://labels.example.org", "labels.example.org"), "labeler[1].endpoint", "must be the public address"),
        (("https://labels.example.org", "https://labels.example.org/"), "labeler[1].endpoint", "without a path"),
        (("https://labels.example.org", "http://labels.example.org"), "labeler[1].endpoint", "this machine only"),
        (("https://labels.example.org", "https://u:p@x.example"), "labeler[1].endpoint", "without a path"),
        (("https://labels.example.org", "https://Labels.example"), "labeler[1].endpoint", "must be the public"),
        (("https://labels.example.org", "https://a.example:99999"), "labeler[1].endpoint", ""),
        (("https://labels.example.org", "https://a.example?"), "labeler[1].endpoint", "without a path"),
        (('value = "spoiler"', 'value = "two words"'), "labeler[1].label[1].value", "others are ignored"),
        (('value = "spoiler"', 'value = "-spoiler"'), "labeler[1].label[1].value", "others are ignored"),
        (('value = "spoiler"', 'value = "a1"'), "labeler[1].label[1].value", "others are ignored"),
        (('value = "spoiler"', f'value = "{"a" * 101}"'), "labeler[1].label[1].value", "at most 100"),
        (('value = "spoiler"', 'value = "!hide"'), "labeler[1].label[1].value", "cannot be defined anew"),
        (('value = "spoiler"', 'value = "!takedown"'), "labeler[1].label[1].value", "cannot be defined anew"),
        (('value = "spoiler"', "value = 1"), "labeler[1].label[1].value", "must be a text"),
        (('severity = "inform"', 'severity = "warn"'), "labeler[1].label[1].severity", "one of inform, alert, none"),
        (('blurs = "content"', "blurs = []"), "labeler[1].label[1].blurs", "one of content, media, none"),
        (('name = "Spoiler"', f'name = "{"x" * 65}"'), "locales.en.name", "has 65 characters, at most 64"),
        (('name = "Spoiler"', f'name = "{"👩‍👩‍👧‍👧" * 30}"'), "locales.en.name", "has 750 bytes, at most 640"),
        (('description = "Tells', f'description = "{"x" * 10_000}'), "locales.en.description", "at most 10,000"),
        ((EN, ""), "labeler[1].label[1].locales", "says nothing to readers"),
        ((EN, EN.replace(".en", ".pt-BR") + EN.replace(".en", ".pt-br")), "locales.pt-br", "is also there as pt-BR"),
        ((EN, EN + LABEL + EN), "labeler[1].label[2].value", "is also the value of label[1]"),
        ((LABEL + EN, ""), "labeler[1].label", "declares nothing to say"),
        ((LABEL + EN, 'system = ["!takedown"]\n'), "labeler[1].system", "must be one of !hide, !warn"),
        ((LABEL + EN, 'system = "!hide"\n'), "labeler[1].system", "must be a list"),
        ((LABEL, 'reason_types = ["spam"]\n' + LABEL), "labeler[1].reason_types", "must be known reasons in full"),
        ((LABEL, 'subject_types = ["post"]\n' + LABEL), "labeler[1].subject_types", "account, record, chat"),
        ((LABEL, 'subject_collections = ["post"]\n' + LABEL), "labeler[1].subject_collections", "app.bsky.feed.post"),
        ((LABEL, 'communities = ["A B"]\n' + LABEL), "labeler[1].communities", "slugs of communities"),
        ((LABEL, 'negate_expired = "yes"\n' + LABEL), "labeler[1].negate_expired", "must be true or false"),
        ((LABEL, 'takedown = "gone"\n' + LABEL), "labeler[1].takedown", "is not declared here"),
        ((LABEL, 'takedown = "!hide"\n' + LABEL), "labeler[1].takedown", "is not declared here"),
        ((LABEL, 'takedown = "!takedown"\n' + LABEL), "labeler[1].takedown", "cannot be defined anew"),
        ((LABEL, 'takedown = ["spoiler"]\n' + LABEL), "labeler[1].takedown", "must be a text"),
        ((GOOD, GOOD + GOOD), "labeler[2].did", "is also that of labeler[1]"),
        ((GOOD, GOOD + GOOD.replace(plc(1), plc(2))), "labeler[2].endpoint", "is also that of labeler[1]"),
        ((HEAD, "[labeler]\n"), "labeler", "in two brackets"),
        ((GOOD, "x = "), "", "no valid TOML"),
    ],
)  # fmt: skip
def test_what_clients_would_ignore_is_refused(change: tuple[str, str], at: str, said: str) -> None:
    old, new = change
    assert old in GOOD
    found = faults(GOOD.replace(old, new, 1))
    assert any(at in fault and said in fault for fault in found), found
    assert all(fault.startswith("l.toml:") for fault in found)


@pytest.mark.parametrize("reason", sorted(NOT_OURS))
def test_reasons_of_the_apps_own_moderation_are_refused_and_never_advertised(reason: str) -> None:
    (fault,) = faults(GOOD.replace(LABEL, f'reason_types = ["{reason}"]\n{LABEL}'))
    assert reason in fault and "leave it out" in fault
    assert reason not in service_record(only(GOOD), "2026-01-01T00:00:00.000Z")["reasonTypes"]


def definition_of(path: str, name: str) -> Any:
    return json.loads((SHARED_DATA / "lexicons" / path).read_text(encoding="utf-8"))["defs"][name]


def test_the_record_says_all_that_readers_disagree_about() -> None:
    record = service_record(only(GOOD.replace(LABEL, 'system = ["!warn"]\n' + LABEL)), "2026-01-01T00:00:00.000Z")
    assert record["policies"]["labelValues"] == ["spoiler", "!warn"]
    assert [one["identifier"] for one in record["policies"]["labelValueDefinitions"]] == ["spoiler"]
    known = definition_of("com/atproto/moderation/defs.json", "reasonType")["knownValues"]
    assert set(record["reasonTypes"]) == set(known) - NOT_OURS and len(record["reasonTypes"]) == 43
    assert record["subjectTypes"] == ["account", "record"] and "app.bsky.feed.post" in record["subjectCollections"]
    none = only(GOOD.replace(LABEL, 'reason_types = []\nsubject_types = ["account"]\n' + LABEL))
    record = service_record(none, "2026-01-01T00:00:00.000Z")
    assert (record["reasonTypes"], record["subjectTypes"], record["subjectCollections"]) == ([], ["account"], [])


def test_the_record_is_what_the_lexicons_say() -> None:
    """Fields by name, those that are required, and known values, from the official files."""
    record = service_record(read_labels(EXAMPLE).labelers[0], "2026-01-01T00:00:00.000Z")
    main = definition_of("app/bsky/labeler/service.json", "main")["record"]
    policies = definition_of("app/bsky/labeler/defs.json", "labelerPolicies")
    label = definition_of("com/atproto/label/defs.json", "labelValueDefinition")
    strings = definition_of("com/atproto/label/defs.json", "labelValueDefinitionStrings")
    pairs = [(record, main), (record["policies"], policies)]
    for one in record["policies"]["labelValueDefinitions"]:
        pairs += [(one, label), *((locale, strings) for locale in one["locales"])]
        for name in ("severity", "blurs", "defaultSetting"):
            assert one[name] in label["properties"][name]["knownValues"]
    for value, schema in pairs:
        assert set(schema["required"]) <= value.keys() - {"$type"} <= schema["properties"].keys()
    assert record["$type"] == "app.bsky.labeler.service"
    for values, name in ((SEVERITIES, "severity"), (BLURS, "blurs"), (SETTINGS, "defaultSetting")):
        assert list(values) == label["properties"][name]["knownValues"]


def test_the_example_is_good_and_short() -> None:
    (declared,) = read_labels(EXAMPLE).labelers
    assert {"spoiler", "off-topic", "spam", "graphic"} <= declared.values
    assert all(len(value) <= 24 for value in declared.values)


def labels(count: int, description: str) -> str:
    letters = string.ascii_lowercase
    names = [f"v-{letters[n // 26 % 26]}{letters[n % 26]}" for n in range(count)]
    text = EN.replace("Tells the end.", description)
    return HEAD + "".join(LABEL.replace("spoiler", name) + text for name in names)


def test_a_record_that_no_pds_takes_is_refused_with_its_size() -> None:
    """bluesky-social/atproto#2803; other scripts count as they are sent, not as JSON could escape them."""
    fits = only(labels(600, ""[:0] or "x" * 50))
    assert record_bytes(fits) < MOST_BYTES
    (fault,) = faults(labels(600, "x" * 80))
    assert fault.startswith("l.toml:4: labeler[1].label: the record would have 1") and "at most 140,000" in fault
    assert "the largest: v-" in fault and "several labelers" in fault
    assert record_bytes(only(labels(100, "字" * 400))) < MOST_BYTES
    assert "the record would have" in faults(labels(100, "字" * 500))[0]


def test_the_largest_labels_are_named() -> None:
    text = labels(20, "x" * 7000).replace('"Spoiler"\ndescription = "x', '"Spoiler"\ndescription = "xx', 1)
    (fault,) = faults(text)
    assert "the largest: v-aa 7," in fault


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | TEXTS | st.sampled_from(["spoiler", "!hide", "en", plc(1)]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["en", "name", "value"]), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = ("did", "endpoint", "communities", "system", "reason_types", "subject_types", "negate_expired", "label", "x")


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    text = "".join(sign if sign.isprintable() else "?" for sign in value) if isinstance(value, str) else value
    return json.dumps(text if text is not None else "", ensure_ascii=False)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5), st.booleans())
def test_whatever_stands_in_the_file_is_read_or_refused(entry: dict[str, Any], good_label: bool) -> None:
    text = "[[labeler]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in entry.items())
    text += LABEL + EN if good_label and "label" not in entry else ""
    try:
        found = parse_labelers(text)
    except DeclarationError as error:
        lines = text.count("\n") + 1
        for fault in str(error).split("\n"):
            assert 1 <= int(fault.split(":")[1]) <= lines
    else:
        for declared in found:
            assert all(value in ("!hide", "!warn") or fault_of_value(value) is None for value in declared.values)


@given(st.text(st.sampled_from("ab-!Z1 ü"), max_size=6))
def test_a_value_is_taken_exactly_when_clients_show_it(value: str) -> None:
    text = GOOD.replace('"spoiler"', json.dumps(value))
    if value and fault_of_value(value) is None and not value.startswith("!"):
        assert only(text).values == {value}
    else:
        assert any("label[1].value" in fault for fault in faults(text))
