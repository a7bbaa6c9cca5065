import numpy as np
from PIL import Image

from data.drawing.defects import spoil_file


def test_every_defect_occurs_and_none_can_be_decoded(tmp_path):
    path = tmp_path / "1.jpg"
    Image.effect_noise((64, 64), 50).save(path)
    whole = path.read_bytes()
    spoiled = [spoil_file(whole, np.random.default_rng(seed)) for seed in range(40)]
    kinds = {
        "empty"
        if not data
        else "text"
        if data.startswith(b"This is not")
        else "bomb"
        if data.startswith(b"\x89PNG")
        else "truncated"
        if whole.startswith(data) and len(data) < len(whole)
        else "unsigned"
        if data[8:] == whole[8:] and data[:8] != whole[:8]
        else "whole"
        for data in spoiled
    }
    assert kinds == {"empty", "text", "bomb", "truncated", "unsigned"}
