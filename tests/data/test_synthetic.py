import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from configs.errors import DataError
from configs.types import SampleConfig
from data.images import probe_image
from data.sources import list_images
from data.synthetic import RECORD_FILENAME, draw_sample_data

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
DRAW_MANY = """
import sys
from pathlib import Path
from configs.types import SampleConfig
from data.synthetic import draw_sample_data
if __name__ == "__main__":
    draw_sample_data(Path(sys.argv[1]), SampleConfig(num_images=2000),
                     progress=lambda done, total: print(done, flush=True))
"""


def contents(folder):
    return {image.source: image.path.read_bytes() for image in list_images(folder)}


def probe(data):
    return probe_image(data, max_pixels=50_000_000)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return draw_sample_data(
        tmp_path_factory.mktemp("sample") / "data", SampleConfig(num_images=240)
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return draw_sample_data(tmp_path_factory.mktemp("plain") / "data", SampleConfig(num_images=60))


def test_every_class_has_its_share(sample):
    counts = Counter(image.label for image in list_images(sample))
    assert len(counts) >= 8
    assert set(counts.values()) == {240 // len(counts)}


def test_files_vary_in_size_format_colour_and_orientation(sample):
    probes = [probe(data) for data in contents(sample).values()]
    longest = [max(found.height, found.width) for found in probes]
    assert min(min(found.height, found.width) for found in probes) >= 80
    assert min(longest) < 110
    assert 450 < max(longest) <= 640
    assert 0.02 < sum(found.format == "png" for found in probes) / 240 < 0.2
    assert 0.02 < sum(found.channels == 1 for found in probes) / 240 < 0.2
    assert 0.02 < sum(found.orientation > 1 for found in probes) / 240 < 0.2


def test_the_number_of_processes_changes_no_byte(sample, tmp_path):
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        alone = draw_sample_data(tmp_path / "alone", SampleConfig(num_images=240))
    finally:
        os.sched_setaffinity(0, cores)
    assert contents(alone) == contents(sample)


def test_another_seed_draws_other_images(plain, tmp_path):
    other = draw_sample_data(tmp_path / "other", SampleConfig(num_images=60, seed=8))
    assert not set(contents(other).values()) & set(contents(plain).values())


def test_corrupt_files_take_the_place_of_images(plain, tmp_path):
    config = SampleConfig(num_images=60, corrupt_share=0.5)
    spoiled, whole = contents(draw_sample_data(tmp_path / "data", config)), contents(plain)
    assert spoiled.keys() == whole.keys()
    assert sum(spoiled[source] != whole[source] for source in whole) == 30


def test_duplicates_are_written_a_second_time(plain, tmp_path):
    config = SampleConfig(num_images=60, duplicate_share=0.25)
    doubled = contents(draw_sample_data(tmp_path / "data", config))
    assert len(doubled) == 75
    assert set(doubled.values()) == set(contents(plain).values())


def test_wrong_labels_move_images_to_other_classes(plain, tmp_path):
    config = SampleConfig(num_images=60, wrong_label_share=0.2)
    wrong = {
        data: source for source, data in contents(draw_sample_data(tmp_path / "d", config)).items()
    }
    right = {data: source for source, data in contents(plain).items()}
    assert wrong.keys() == right.keys()
    assert sum(wrong[data] != right[data] for data in right) == 12


def test_a_new_class_is_one_more(plain, tmp_path):
    config = SampleConfig(num_images=66, new_class=True)
    labels = {image.label for image in list_images(draw_sample_data(tmp_path / "data", config))}
    assert labels - {image.label for image in list_images(plain)} == {"umbrella"}


def test_the_same_settings_draw_nothing_again(plain):
    before = (plain / RECORD_FILENAME).stat().st_mtime_ns
    assert draw_sample_data(plain, SampleConfig(num_images=60)) == plain
    assert (plain / RECORD_FILENAME).stat().st_mtime_ns == before


def test_other_settings_replace_the_folder(tmp_path):
    folder = draw_sample_data(tmp_path / "data", SampleConfig(num_images=20))
    draw_sample_data(folder, SampleConfig(num_images=30))
    assert len(list_images(folder)) == 30
    assert json.loads((folder / RECORD_FILENAME).read_text())["num_images"] == 30
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_the_user_is_never_replaced(grow):
    root = grow("photos/mug/1.jpg")
    with pytest.raises(DataError, match="photos' holds something that is no sample data"):
        draw_sample_data(root / "photos", SampleConfig(num_images=20))
    assert (root / "photos" / "mug" / "1.jpg").exists()


def test_progress_counts_up_to_all_images(tmp_path):
    seen = []
    config = SampleConfig(num_images=50)
    draw_sample_data(tmp_path / "data", config, progress=lambda *counts: seen.append(counts))
    assert seen == [(20, 50), (40, 50), (50, 50)]


def test_a_killed_drawing_leaves_nothing_that_looks_complete(tmp_path):
    script = tmp_path / "draw.py"
    script.write_text(DRAW_MANY)
    folder = tmp_path / "workspace" / "data"
    process = subprocess.Popen(
        [sys.executable, script, folder],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)},
    )
    with process:
        assert process.stdout.readline() == b"20\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert not folder.exists()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    assert len(list(folder.parent.iterdir())) == 1
    draw_sample_data(folder, SampleConfig(num_images=20))
    assert list(folder.parent.iterdir()) == [folder]
