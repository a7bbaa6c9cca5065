import json
import re
from pathlib import Path

import pytest
import yaml

from configs.errors import ConfigError
from serving.gateway.records import ReviewReason
from serving.gateway.rules import BusinessRules, ClassRules, Decision, decide, read_rules

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "deploy" / "gateway" / "rules.yaml"
PAGE = ROOT / "docs" / "rules.md"


def decide_with(rules, *, label="mug", probability=0.9, margin=0.5, model_needs_review=False):
    return decide(
        BusinessRules.model_validate(rules),
        label=label,
        probability=probability,
        margin=margin,
        model_needs_review=model_needs_review,
    )


def leaves(content, prefix=""):
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_example_names_every_rule():
    rules = read_rules(EXAMPLE)
    named = set(leaves(yaml.safe_load(EXAMPLE.read_text())))
    assert named == set(leaves(rules.model_dump()))
    assert rules.classes["bottle"].min_probability == 0.8


def test_the_page_names_every_rule_and_its_default():
    rows = re.findall(r"^\| `([\w.<>]+)` \| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    rules = BusinessRules(classes={"<label>": ClassRules()}).model_dump(mode="json")
    expected = {}
    for name in leaves(rules):
        value = rules
        for part in name.split("."):
            value = value[part]
        expected[name] = f"`{json.dumps(value)}`" if value or value in (0, False) else "none"
    assert dict(rows) == expected


def test_the_default_rules_only_follow_the_model():
    assert decide_with({}, probability=0.01, margin=0.0) == Decision("mug", ())
    assert decide_with({}, model_needs_review=True) == Decision("mug", (ReviewReason.MODEL,))
    ignoring = {"review": {"follow_model": False}}
    assert decide_with(ignoring, model_needs_review=True) == Decision("mug", ())


@pytest.mark.parametrize(
    ("rules", "answer", "reasons"),
    [
        ({"review": {"min_probability": 0.9}}, {"probability": 0.9}, ()),
        (
            {"review": {"min_probability": 0.9}},
            {"probability": 0.899},
            (ReviewReason.PROBABILITY,),
        ),
        ({"review": {"min_margin": 0.5}}, {"margin": 0.5}, ()),
        ({"review": {"min_margin": 0.5}}, {"margin": 0.49}, (ReviewReason.MARGIN,)),
        ({"deny": ["mug"]}, {}, (ReviewReason.DENIED,)),
        ({"deny": ["jar"]}, {}, ()),
        (
            {"classes": {"mug": {"min_probability": 0.95}}},
            {},
            (ReviewReason.CLASS_THRESHOLD,),
        ),
        ({"classes": {"jar": {"min_probability": 0.95}}}, {}, ()),
        ({"classes": {"mug": {"min_probability": 0.9}}}, {"probability": 0.9}, ()),
    ],
)
def test_each_rule_has_its_reason(rules, answer, reasons):
    assert decide_with(rules, **answer) == Decision("mug", reasons)


def test_the_default_answer_replaces_only_what_is_denied_or_below_its_threshold():
    rules = {
        "default_answer": "unsure",
        "deny": ["jar"],
        "classes": {"cup": {"min_probability": 0.95}},
        "review": {"min_probability": 1},
    }
    labels = [decide_with(rules, label=label).label for label in ("mug", "jar", "cup")]
    assert labels == ["mug", "unsure", "unsure"]


def test_all_reasons_are_given_at_once():
    rules = {
        "deny": ["mug"],
        "classes": {"mug": {"min_probability": 0.95}},
        "review": {"min_probability": 0.95, "min_margin": 0.6},
    }
    assert decide_with(rules, model_needs_review=True).reasons == (
        ReviewReason.DENIED,
        ReviewReason.CLASS_THRESHOLD,
        ReviewReason.PROBABILITY,
        ReviewReason.MARGIN,
        ReviewReason.MODEL,
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("review: {min_probabilty: 0.5}", "review.min_probabilty: Extra inputs"),
        ("review: {min_margin: 2}", "review.min_margin: Input should be less than"),
        ("review: {min_margin: .nan}", "review.min_margin"),
        ("retention: {prediction_days: 0}", "retention.prediction_days"),
        ("review: {fallback_per_hour: -1}", "review.fallback_per_hour: Input should be greater"),
        ("review: {fallback_per_hour: 0.5}", "review.fallback_per_hour: Input should be a valid"),
        ("classes: {mug: 0.5}", "classes.mug: Input should be"),
        ("default_answer: " + "x" * 201, "default_answer: String should have at most 200"),
        (r'default_answer: "a\0b"', r"default_answer: .*'a\\x00b', expected printable"),
        ("deny: mug", "deny: Input should be a valid frozenset"),
        ("- mug", "the file: Input should be"),
        ("deny: [", "cannot be read"),
        ("deny: [2026-13-45]", "cannot be read: month must be in 1..12"),
        ("deny: " + "[" * 20_000, "cannot be read"),
        ("a: !!python/object/apply:os.system ['true']", "cannot be read"),
        ("\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(tmp_path, text, words):
    file = tmp_path / "rules.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=words):
        read_rules(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.yaml' cannot be read: .*No such file"):
        read_rules(tmp_path / "none.yaml")


def test_an_empty_file_holds_the_defaults(tmp_path):
    (tmp_path / "rules.yaml").write_text("# nothing\n")
    assert read_rules(tmp_path / "rules.yaml") == BusinessRules()


def test_the_same_rules_have_the_same_fingerprint():
    first = BusinessRules.model_validate({"deny": ["a", "b", "c"], "default_answer": "x"})
    second = BusinessRules.model_validate({"default_answer": "x", "deny": ["c", "b", "a"]})
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != BusinessRules().fingerprint()
    assert BusinessRules.model_validate_json(first.to_json()) == first
