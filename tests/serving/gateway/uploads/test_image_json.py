import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.errors import BadRequestError, GatewayError, TooLargeError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.image_json import read_json_images

LIMITS = UploadSettings(max_batch_images=4)


def read(content, *, many=False):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_json_images(body, LIMITS, many=many)


def text(data=b"picture"):
    return base64.b64encode(data).decode()


def test_one_image_is_decoded():
    (upload,) = read({"image": text()})
    assert (upload.data, upload.name, upload.content_type) == (b"picture", "", "")


def test_a_data_url_says_its_type():
    (upload,) = read({"image": f"data:image/PNG;base64,{text()}"})
    assert (upload.data, upload.content_type) == (b"picture", "image/png")


def test_broken_lines_are_joined():
    (upload,) = read({"image": text(bytes(200))[:76] + "\r\n" + text(bytes(200))[76:] + "\n"})
    assert upload.data == bytes(200)


def test_many_images_keep_their_order():
    uploads = read({"images": [text(b"1"), text(b"2")]}, many=True)
    assert [upload.data for upload in uploads] == [b"1", b"2"]
    assert len(read({"image": text()}, many=True)) == 1


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ({}, "an object of {}"),
        ([text()], "a JSON list"),
        (None, "a JSON NoneType"),
        ({"image": None}, "an object of {'image': NoneType}"),
        ({"image": [[1, 2], [3]]}, "an object of {'image': list}"),
        ({"image": text(), "label": "a"}, "an object of {'image': str, 'label': str}"),
        ({"instances": [{"b64": ""}]}, "an object of {'instances': list}"),
    ],
)
@pytest.mark.parametrize("many", [False, True])
def test_another_shape_is_refused_with_the_accepted_one(content, got, many):
    with pytest.raises(BadRequestError, match="another shape") as refusal:
        read(content, many=many)
    assert refusal.value.got == got
    assert '{"image": "<base64>"}' in refusal.value.accepted


@pytest.mark.parametrize("images", [[], [text(), 3], text(), {}])
def test_a_batch_is_a_list_of_strings(images):
    with pytest.raises(BadRequestError, match="another shape"):
        read({"images": images}, many=True)


def test_a_batch_in_the_wrong_place_is_shown_the_right_one():
    with pytest.raises(BadRequestError) as refusal:
        read({"images": [text()]})
    assert refusal.value.fix == "Many images go to /v1/predict:batch."


def test_a_batch_that_is_too_large_is_refused():
    assert len(read({"images": [text()] * 4}, many=True)) == 4
    with pytest.raises(TooLargeError, match="the batch has 5 images") as refusal:
        read({"images": [text()] * 5}, many=True)
    assert refusal.value.accepted == "1 to 4 images"


@pytest.mark.parametrize("bad", ["a", "ab$d", "-_-_", "====", "Zoë=", "\ud800"])
def test_what_is_not_base64_is_named_with_its_place(bad):
    with pytest.raises(BadRequestError, match="^image is not base64"):
        read({"image": bad})
    with pytest.raises(BadRequestError, match=r"^images\[1\] is not base64") as refusal:
        read({"images": [text(), bad]}, many=True)
    assert "base64 -w0" in refusal.value.fix


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"image": "\xff"}', b"\xff\xfe", b'{"a": ' + b"9" * 9999]
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(BadRequestError, match="the body is no JSON"):
        read(body)


@pytest.mark.parametrize("part", [b"[", b"[],", b'{"a":', b"1,"])
def test_a_body_of_many_small_parts_costs_no_memory(part):
    body = b'{"images": [' + part * 5_000_000
    started = time.process_time()
    with pytest.raises(BadRequestError, match="too many parts") as refusal:
        read(body, many=True)
    assert time.process_time() - started < 0.5
    assert "not as lists of numbers" in refusal.value.fix


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["image", "images", "x"]), inner, max_size=3)
        ),
    ),
    st.booleans(),
)
def test_any_json_gives_pictures_or_a_refusal(content, many):
    try:
        uploads = read(content, many=many)
    except GatewayError as error:
        uploads = []
        status = error.http_status
    else:
        status = 200
    assert status in {200, 400, 413}
    assert (status == 200) == (len(uploads) > 0)
