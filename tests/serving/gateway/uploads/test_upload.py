import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.uploads.upload import Upload, clean_name


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        (r"C:\photos\cat.jpg", "cat.jpg"),
        ("cat\r\nSet-Cookie: a.jpg", "catSet-Cookie: a.jpg"),
        ("\u202egpj.exe", "gpj.exe"),
        ("Ångström 猫.png", "Ångström 猫.png"),
        ("..", ""),
        ("a" * 500 + ".png", "a" * 96 + ".png"),
    ],
)
def test_names_are_made_harmless(name, cleaned):
    assert clean_name(name) == cleaned


@given(st.text())
def test_no_name_keeps_a_path_or_a_control_character(name):
    cleaned = clean_name(name)
    assert cleaned.isprintable()
    assert not set("/\\\r\n\0") & set(cleaned)
    assert len(cleaned) <= 100


def test_messages_name_the_picture():
    assert Upload(b"", "cat.jpg").subject == "image 'cat.jpg'"
    assert Upload(b"").subject == "the image"
