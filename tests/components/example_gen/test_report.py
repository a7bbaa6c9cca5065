import pytest

from components.example_gen.report import (
    IngestReport,
    QuarantinedFile,
    check_class_sizes,
    check_quarantine_share,
    read_quarantine,
    read_report,
    write_report,
)
from configs.errors import DataError


def broken(count):
    return [QuarantinedFile(f"cat/{i}.jpg", "the file is empty", "", 0) for i in range(count)]


def test_a_report_is_read_as_written(tmp_path):
    report = IngestReport(3, 1, {"train": 3}, {"cat": 2, "dog": 1}, [1], {"across_splits": 0})
    write_report(tmp_path, report, broken(1))
    assert read_report(tmp_path) == report
    assert read_quarantine(tmp_path) == broken(1)


def test_a_share_at_the_limit_is_accepted():
    check_quarantine_share(100, broken(5), 0.05)


def test_a_share_above_the_limit_names_files_and_the_way_out():
    with pytest.raises(DataError) as caught:
        check_quarantine_share(100, broken(6), 0.05)
    message = str(caught.value)
    assert "6 of 100 files (6.0%)" in message
    assert "'cat/0.jpg' (the file is empty)" in message
    assert "; ..." in message
    assert "data.max_quarantine_share" in message
    assert len(caught.value.facts["quarantined"]) == 6


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({}, "has 0 class with usable images (none)"),
        ({"cat": 9}, "has 1 class with usable images ('cat')"),
        ({"cat": 9, "dog": 100}, "too few usable images in 1 of 2 classes: 'cat' (9)"),
    ],
)
def test_data_that_cannot_train_is_refused(counts, message):
    with pytest.raises(DataError) as caught:
        check_class_sizes(counts, 10)
    assert message in str(caught.value)


def test_enough_images_in_every_class_pass():
    check_class_sizes({"cat": 10, "dog": 10}, 10)
