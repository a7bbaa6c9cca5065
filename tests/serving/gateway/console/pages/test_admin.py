import pytest

from serving.gateway.console.pages.admin import find_changes


def test_rules_are_shown_newest_first_with_what_changed(shared_console):
    page = shared_console.client("admin").get("/console/rules").text
    assert page.index("Version 2") < page.index("Version 1")
    assert "review.min_probability" in page.partition("Version 1")[0]
    assert "&lt;b&gt;knife&lt;/b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2, "b": 3}, ["a", "b"]),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 1, "c": 2}}, ["a.c"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ["a"]),
    ],
)
def test_changes_are_named(before, after, changes):
    assert find_changes(before, after) == changes


@pytest.mark.parametrize("before", ["x", "-3", "", "9" * 300, "9" * 5000, "²"])
def test_a_bad_page_of_the_audit_log_is_some_page(shared_console, before):
    answer = shared_console.client("admin").get("/console/audit", params={"before": before})
    assert answer.status_code == 200


def test_the_audit_log_is_paged(shared_console):
    page = shared_console.client("admin").get("/console/audit", params={"before": "2"}).text
    assert "rules.new" in page or "key.create" in page
    assert page.count("<tr>") == 2
