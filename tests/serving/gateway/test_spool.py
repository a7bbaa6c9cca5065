import errno
import os
import pickle
import struct
import subprocess
import sys
import time
import zlib

import pytest

from serving.gateway.spool import Spool, remove_rejected
from serving.gateway.spool_segments import encode_record, read_segment


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def open_spool(folder):
    """Function that opens a spool as a process of its own would."""
    spools = []

    def open_spool():
        spools.append(Spool(folder))
        spools[-1].open()
        return spools[-1]

    return open_spool


@pytest.mark.parametrize("image", [None, b"\x89PNG" + bytes(range(256))])
def test_records_come_back_as_they_were(open_spool, make_record, image):
    spool = open_spool()
    records = [make_record(review_image=image, label=label) for label in ("mug", "Tasse ü", "杯")]
    for record in records:
        spool.append(record)
    path = spool.rotate()
    assert spool.read(path) == records


def test_a_file_cut_off_anywhere_gives_whole_records_and_no_damage(tmp_path, make_record):
    records = [make_record(review_image=b"picture"), make_record(), make_record()]
    frames = [encode_record(record) for record in records]
    ends = [sum(map(len, frames[: index + 1])) for index in range(3)]
    file = tmp_path / "segment"
    for size in range(ends[-1] + 1):
        file.write_bytes(b"".join(frames)[:size])
        num_whole = sum(end <= size for end in ends)
        segment = read_segment(file)
        assert segment.records == records[:num_whole]
        assert len(segment.unfinished) == size - (ends[num_whole - 1] if num_whole else 0)
        assert segment.damaged == b""


def test_the_beginning_of_a_record_is_dropped_and_not_kept_as_damage(
    open_spool, folder, make_record
):
    spool = open_spool()
    records = [make_record() for _ in range(3)]
    for record in records:
        spool.append(record)
    path = spool.rotate()
    path.write_bytes(path.read_bytes()[:-20])
    assert spool.read(path) == records[:2]
    assert not (folder / "rejected").exists()


def test_a_broken_length_does_not_drop_the_records_behind_it(tmp_path, make_record):
    frames = [encode_record(make_record(review_image=b"picture")) for _ in range(3)]
    broken = bytearray(frames[1])
    broken[4] ^= 0x40  # the frame now seems to go on beyond the end of the file
    (tmp_path / "segment").write_bytes(frames[0] + broken + frames[2])
    segment = read_segment(tmp_path / "segment")
    assert len(segment.records) == 1
    assert segment.damaged == broken + frames[2]
    assert segment.unfinished == b""


def test_a_flipped_bit_is_noticed_and_kept_aside(open_spool, folder, make_record):
    spool = open_spool()
    record = make_record()
    for each in (record, make_record(review_image=b"picture")):
        spool.append(each)
    path = spool.rotate()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1  # of the picture: nothing but the checksum can tell
    path.write_bytes(data)
    assert spool.read(path) == [record]
    (kept,) = (folder / "rejected").iterdir()
    assert kept.read_bytes() == data[len(encode_record(record)) :]


def test_a_whole_frame_of_another_program_does_not_hide_the_others(tmp_path, make_record):
    good = [make_record(), make_record()]
    strangers = [make_record(created_at=None), make_record(route="teleport")]
    frames = [*map(encode_record, (good[0], *strangers, good[1]))]
    frames.insert(1, encode_record(good[0]).replace(b'"margin"', b'"border"'))
    fields = frames[1][16:]
    frames[1] = struct.pack(">4sIII", b"LPR1", len(fields), 0, zlib.crc32(fields)) + fields
    (tmp_path / "segment").write_bytes(b"".join(frames))
    segment = read_segment(tmp_path / "segment")
    assert segment.records == good
    assert segment.damaged == b"".join(frames[1:4])


def test_segments_are_listed_oldest_first_without_the_active_one(open_spool, make_record):
    spool = open_spool()
    ended = []
    for _ in range(3):
        spool.append(make_record())
        ended.append(spool.rotate())
    spool.append(make_record())
    assert spool.ended_segments() == ended
    assert spool.num_records == 4
    spool.remove(ended[0])
    assert spool.ended_segments() == ended[1:]
    assert not ended[0].exists()


def test_a_living_process_is_not_robbed(open_spool, make_record):
    first = open_spool()
    first.append(make_record())
    second = open_spool()
    assert second.adopt() == 0
    assert (first.num_records, second.num_records) == (1, 0)


def test_an_empty_spool_leaves_nothing_behind(open_spool, folder):
    open_spool().close()
    assert [entry.name for entry in folder.iterdir()] == ["lock"]


def test_what_a_closed_spool_left_is_taken_over(open_spool, make_record):
    records = [make_record() for _ in range(3)]
    first = open_spool()
    for record in records:
        first.append(record)
    first.close()
    second = open_spool()
    assert [spooled for path in second.ended_segments() for spooled in second.read(path)] == records
    assert len([*second._folder.glob("*/lock")]) == 1


def test_a_file_of_somebody_else_keeps_no_process_from_starting(open_spool, folder, make_record):
    record = make_record()
    first = open_spool()
    first.append(record)
    (first._own / ".nfs0001").write_bytes(b"a network file system's")
    first.close()
    second = open_spool()
    assert [spooled for path in second.ended_segments() for spooled in second.read(path)] == [
        record
    ]
    assert second.adopt() == 0
    (second._own / ".nfs0002").write_bytes(b"")
    for path in second.ended_segments():
        second.remove(path)
    second.close()


def test_what_was_set_aside_goes_when_it_is_old(open_spool, folder, make_record):
    spool = open_spool()
    spool.append(make_record())
    for age_seconds in (0, 100):
        record = make_record()
        spool.set_aside(record, "why")
        path = folder / "rejected" / f"{record.request_id}.records"
        os.utime(path, (time.time() - age_seconds, time.time() - age_seconds))
    assert remove_rejected(folder, time.time() - 200) == 0
    assert remove_rejected(folder, time.time() - 50) == 1
    assert len([*(folder / "rejected").iterdir()]) == 1
    assert spool.num_records == 1
    assert remove_rejected(folder / "nowhere", time.time()) == 0


def test_pictures_of_customers_are_for_the_owner_only(open_spool, folder, make_record):
    spool = open_spool()
    spool.append(make_record(review_image=b"private"))
    spool.set_aside(make_record(review_image=b"private"), "why")
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) == 2
    assert {oct(path.stat().st_mode & 0o077) for path in [*files, folder]} == {"0o0"}


FULL_DISK = """
import pickle, resource, signal, sys
from pathlib import Path
from serving.gateway.spool import Spool, remove_rejected
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
records = pickle.load(sys.stdin.buffer)
spool = Spool(Path(sys.argv[1]))
spool.open()
spool.append(records[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
try:
    spool.append(records[1])
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.append(records[2])
"""


def test_a_record_that_does_not_fit_leaves_the_others_whole(open_spool, folder, make_record):
    records = [make_record(), make_record(review_image=b"x" * 5000), make_record()]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(folder)],
        input=pickle.dumps(records),
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == [str(errno.EFBIG).encode()]
    spool = open_spool()
    (path,) = spool.ended_segments()
    assert spool.read(path) == [records[0], records[2]]
