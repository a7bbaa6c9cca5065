from configs.types import SampleConfig
from data.drawing.orders import draw_order, plan_orders


def test_classes_take_turns_and_shares_are_exact():
    config = SampleConfig(num_images=200, corrupt_share=0.1, duplicate_share=0.2)
    orders = plan_orders(config)
    assert [order.index for order in orders] == list(range(200))
    assert len({order.label for order in orders[:10]}) == 10
    assert sum(order.is_corrupt for order in orders) == 20
    assert sum(order.is_doubled for order in orders) == 40
    assert all(order.folder == order.label for order in orders)


def test_an_order_draws_the_same_file_whatever_was_drawn_before(tmp_path):
    config = SampleConfig(num_images=20)
    first, second, *_ = plan_orders(config)
    for name, orders in (("one", [first, second]), ("two", [second])):
        for order in orders:
            (tmp_path / name / order.folder).mkdir(parents=True)
            draw_order(tmp_path / name, config, order)
    one, two = (next((tmp_path / name / second.folder).iterdir()) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
