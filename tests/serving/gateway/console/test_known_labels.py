import json

from serving.gateway.console.known_labels import KnownLabels

LABELS = ["bag", "hät", "<b>"]


def test_what_one_process_has_heard_all_know(tmp_path):
    file = tmp_path / "console" / "labels.json"
    assert KnownLabels(file, list).list_labels() == []
    assert KnownLabels(file, lambda: LABELS).list_labels() == LABELS
    assert KnownLabels(file, list).list_labels() == LABELS


def test_a_new_model_replaces_the_names(tmp_path):
    file = tmp_path / "labels.json"
    heard = list(LABELS)
    labels = KnownLabels(file, lambda: heard)
    labels.list_labels()
    heard.append("shoe")
    assert labels.list_labels() == [*LABELS, "shoe"]
    assert json.loads(file.read_text()) == [*LABELS, "shoe"]


def test_a_broken_memory_is_none(tmp_path):
    file = tmp_path / "labels.json"
    file.write_text("[")
    assert KnownLabels(file, list).list_labels() == []
    assert KnownLabels(file, lambda: LABELS).list_labels() == LABELS
