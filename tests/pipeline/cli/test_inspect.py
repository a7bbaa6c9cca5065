import io

import pytest
from PIL import Image
from rich.console import Console

from configs.errors import DataError, InvalidImageError
from data.buckets import BucketPath
from pipeline.cli.inspect import inspect_path


def shown(address):
    console = Console(file=io.StringIO(), width=100)
    inspect_path(console, BucketPath(address))
    return " ".join(console.file.getvalue().split())


def test_images_in_a_bucket_are_shown_like_those_of_a_folder(storage):
    picture = io.BytesIO()
    Image.new("RGB", (4, 3)).save(picture, "PNG")
    photos = {f"p/train/{name}/1.png": picture.getvalue() for name in ("hat", "mug")}
    storage.make_bucket("b", photos)
    assert "2 files, 2 classes, spans [1]" in shown("gs://b/p")
    assert "png" in shown("gs://b/p/train/hat/1.png")


def test_what_is_not_in_a_bucket_is_told(storage):
    storage.make_bucket("b")
    with pytest.raises(DataError, match="'gs://b/p' does not exist"):
        shown("gs://b/p")
    with pytest.raises(InvalidImageError, match="No such object: b/1.jpg"):
        shown("gs://b/1.jpg")
