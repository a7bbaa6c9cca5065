import multiprocessing
import time

from components.example_gen.progress import add_done, report_progress


def test_images_of_several_processes_add_up(tmp_path, caplog):
    listing, path = tmp_path / "listing", tmp_path / "progress"
    listing.write_bytes(b"a file\n" * 60)
    with caplog.at_level("INFO", "loupe.example_gen"), report_progress(path, listing):
        # Spawned, because a fork beside threads of gRPC aborts now and then.
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=add_done, args=(path, 20)) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        deadline = time.monotonic() + 10
        while not _is_told(caplog, 60) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert _is_told(caplog, 60)
    assert caplog.records[-1].progress == {"done": 60, "total": 60, "unit": "images"}
    assert not path.exists()


def test_nothing_is_told_before_an_image_is_read(tmp_path, caplog):
    with (
        caplog.at_level("INFO", "loupe.example_gen"),
        report_progress(tmp_path / "progress", tmp_path / "listing"),
    ):
        time.sleep(0.7)
    assert caplog.records == []


def _is_told(caplog, count):
    return any(f"read {count} of" in record.getMessage() for record in caplog.records)
