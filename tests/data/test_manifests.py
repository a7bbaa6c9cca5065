import contextlib
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import DataError
from data.manifests import read_manifest
from schema.features import Split


def write(root, text, name="manifest.csv"):
    path = root / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(manifest):
    return [(row.path.name, row.label, row.split) for row in read_manifest(manifest)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label,split\n1.jpg,mug,train\n2.jpg,hat,\n",
        "\ufefflabel;filename;split;price\nmug;1.jpg;Training;3\nhat;2.jpg;;4\n",
        "Image\tClass\tsubset\n1.jpg\tmug\ttrain\n\n2.jpg\that\t\n",
    ],
)
def test_csv_is_read_whatever_its_delimiter_and_column_names(grow, text):
    manifest = write(grow("1.jpg", "2.jpg"), text)
    assert rows(manifest) == [("1.jpg", "mug", Split.TRAIN), ("2.jpg", "hat", None)]


def test_json_lines_are_read(grow):
    lines = [{"file": "1.jpg", "label": 7, "split": "val"}, {"file": "2.jpg", "label": "hat"}]
    manifest = write(grow("1.jpg", "2.jpg"), "\n".join(map(json.dumps, lines)), "m.jsonl")
    assert rows(manifest) == [("1.jpg", "7", Split.VALIDATION), ("2.jpg", "hat", None)]


def test_a_path_may_leave_the_folder_of_the_manifest(grow):
    root = grow("photos/1.jpg", "lists/x")
    (row,) = read_manifest(write(root / "lists", "path,label\n../photos/1.jpg,mug\n"))
    assert row.path.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", r"has the columns \(none\), expected one called 'path'"),
        ("m.csv", "path,price\n1.jpg,3\n", "has the columns path, price, expected one .* 'label'"),
        ("m.csv", "path,label\ngone.jpg,a\n", "line 2 names 'gone.jpg', which is no file below"),
        ("m.csv", "path,label\n,a\n", "line 2 names '', which is no file"),
        ("m.csv", "path,label\n1.jpg,a\n1.jpg\n", "line 3 has no label"),
        ("m.csv", "path,label,split\n1.jpg,a,tests\n", "line 2 has the split 'tests', expected"),
        ("m.csv", "path,label\nhttps://a.b/1.jpg,a\n", "line 2 names 'https.*, not a URL"),
        ("m.csv", 'path,label\n"1.jpg\0",a\n', "line 2 names .* which is no file"),
        ("m.jsonl", '{"path": \n', "line 1 is not JSON"),
        ("m.jsonl", "[1]\n", "line 1 is list, expected an object"),
        ("m.jsonl", '\n{"path": "1.jpg", "label": null}', "line 2 .* one called 'label'"),
    ],
)
def test_a_wrong_manifest_says_where_and_what(grow, name, text, message):
    with pytest.raises(DataError, match=message):
        read_manifest(write(grow("1.jpg"), text, name))


def test_a_manifest_that_is_not_utf8_is_an_error(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("path,label\n1.jpg,Fußball\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        read_manifest(path)


def test_a_cell_without_end_is_an_error(grow):
    manifest = write(grow("1.jpg"), 'path,label\n"' + "x" * 200_000)
    with pytest.raises(DataError, match="is not CSV: field larger than"):
        read_manifest(manifest)


def test_an_unreadable_manifest_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_manifest(tmp_path / "gone.csv")


@given(st.binary(max_size=200), st.sampled_from(["m.csv", "m.jsonl"]))
def test_any_bytes_give_rows_or_a_data_error(tmp_path_factory, content, name):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert read_manifest(path) == []


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1))
def test_any_label_survives_csv(tmp_path_factory, label):
    folder = tmp_path_factory.getbasetemp()
    (folder / "1.jpg").write_bytes(b"x")
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["path", "label"], ["1.jpg", f"x{label}"]])
    assert read_manifest(write(folder, buffer.getvalue()))[0].label == f"x{label}".strip()
