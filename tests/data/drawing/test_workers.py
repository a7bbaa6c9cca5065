import pytest

from configs.errors import DataError
from configs.types import SampleConfig
from data.drawing.orders import plan_orders
from data.drawing.workers import draw_in_processes


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_share_all_images_between_them(tmp_path, num_workers):
    config = SampleConfig(num_images=20)
    for order in plan_orders(config)[:10]:
        (tmp_path / order.folder).mkdir()
    assert sum(draw_in_processes(tmp_path, config, num_workers)) == 20
    assert len(list(tmp_path.glob("*/*"))) == 20


def test_a_worker_that_fails_says_why(tmp_path):
    with pytest.raises(
        DataError, match=r"drawing the sample data into .* failed: FileNotFoundError"
    ):
        list(draw_in_processes(tmp_path / "gone", SampleConfig(num_images=20), 2))
