import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.errors import (
    BadRequestError,
    GatewayError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.image_forms import ImageForm

LIMITS = UploadSettings(max_image_bytes=5000, max_batch_images=3)
BOUNDARY = b"limit"


def part(data=b"picture", name=b"image", filename=b"a.jpg", headers=b""):
    disposition = b'form-data; name="%s"; filename="%s"' % (name, filename)
    return b"--limit\r\nContent-Disposition: %s\r\nContent-Type: image/jpeg\r\n%s\r\n%s\r\n" % (
        disposition,
        headers,
        data,
    )


def read(body, *, many=False, step=1 << 20):
    form = ImageForm(BOUNDARY, LIMITS, many=many)
    for start in range(0, len(body), step):
        form.feed(body[start : start + step])
    return form.finish()


END = b"--limit--\r\n"


@pytest.mark.parametrize("step", [1, 2, 7, 64, 1 << 20])
def test_files_are_the_same_however_they_arrive(step):
    tricky = b"\r\n--limi\r\n--\r\n\0\xff--limit"
    body = part(tricky, filename=b"../x\0/cat.png") + part(b"", filename=b"") + END
    first, second = read(body, many=True, step=step)
    assert (first.data, first.name, first.content_type) == (tricky, "cat.png", "image/jpeg")
    assert (second.data, second.name) == (b"", "")


@given(
    st.binary(max_size=600).filter(lambda data: b"\r\n--limit" not in b"\r\n" + data),
    st.integers(1, 50),
)
def test_any_bytes_come_through(data, step):
    assert read(part(data) + END, step=step)[0].data == data


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(0, 20))
def test_any_damage_gives_files_or_a_refusal(noise, place, gap):
    whole = part() + part() + END
    try:
        uploads = read(whole[:place] + noise + whole[place + gap :], many=True)
        status = 200
    except GatewayError as error:
        uploads, status = [], error.http_status
    assert status in {200, 400, 413, 415}
    assert (status == 200) == (len(uploads) > 0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends before its closing boundary"),
        (END, "holds no picture"),
        (part(), "ends before its closing boundary"),
        (part()[:60], "ends before its closing boundary"),
        (b"something else", "not well-formed"),
        (part(name=b"file") + END, "a field that is not known"),
        (b"--limit\r\n\r\nno headers\r\n" + END, "a field that is not known"),
        (part(headers=b"X: " + b"y" * 9000 + b"\r\n") + END, "not well-formed"),
        (part(headers=b"X: y\r\n" * 20) + END, "not well-formed"),
    ],
)
def test_a_broken_form_is_refused(body, message):
    with pytest.raises(BadRequestError, match=message) as refusal:
        read(body)
    assert refusal.value.accepted == "multipart/form-data with one file in a field `image`"
    assert refusal.value.fix == "With curl: curl -F image=@photo.jpg ..."
    assert refusal.value.got


@pytest.mark.parametrize(
    ("boundary", "message"), [(b"", "names no boundary"), (b"x" * 300, "boundary is not accepted")]
)
def test_a_bad_boundary_is_refused(boundary, message):
    with pytest.raises(BadRequestError, match=message):
        ImageForm(boundary, LIMITS, many=False)


def test_an_encoded_file_is_refused():
    with pytest.raises(UnsupportedTypeError, match="is encoded") as refusal:
        read(part(headers=b"Content-Transfer-Encoding: BASE64\r\n") + END)
    assert refusal.value.got == "Content-Transfer-Encoding: base64"
    assert read(part(headers=b"Content-Transfer-Encoding: binary\r\n") + END)


@pytest.mark.parametrize(("many", "most"), [(False, 1), (True, 3)])
def test_one_file_too_many_is_refused_before_it_is_read(many, most):
    assert len(read(part() * most + END, many=many)) == most
    with pytest.raises(TooLargeError, match=f"more than {most} pictures"):
        read(part() * (most + 1), many=many)


def test_a_file_that_is_too_large_is_refused_while_it_arrives():
    assert len(read(part(bytes(5000)) + END)[0].data) == 5000
    form = ImageForm(BOUNDARY, LIMITS, many=True)
    form.feed(part())
    with pytest.raises(TooLargeError, match="file 2 of the form has more than 5000 bytes"):
        form.feed(part(bytes(6000))[:-900])
