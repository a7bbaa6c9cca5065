"""Recognises files by their first bytes, to say what something that is no image is instead."""

from typing import Final

ACCEPTED_FORMATS: Final = ("jpeg", "png", "bmp", "gif", "webp")

_ACCEPTED: Final = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"BM", "bmp"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_OTHERS: Final = (
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a TIFF image"),
    (b"MM\0+", "a TIFF image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a zip archive (or an office document)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"OggS", "an Ogg video or sound"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"ID3", "an MP3 sound"),
    (b"version https://git-lfs", "a Git LFS pointer whose image was never fetched"),
)
_FTYP_BRANDS: Final = {
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"heic": "a HEIC image",
    b"heix": "a HEIC image",
    b"hevc": "a HEIC image",
    b"mif1": "a HEIC image",
    b"msf1": "a HEIC image",
}
_TEXT_STARTS: Final = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML or SVG document"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
)
_BMP_HEADER_BYTES: Final = 26


def find_format(data: bytes) -> str | None:
    """Find the accepted format that the first bytes announce.

    Args:
        data: bytes of the file.

    Returns:
        One of `ACCEPTED_FORMATS`; None when it is something else.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for start, name in _ACCEPTED:
        if data.startswith(start):
            return name if name != "bmp" or _is_bitmap(data) else None
    return None


def describe_content(data: bytes) -> str:
    """Say in words what a file is that is no accepted image.

    Args:
        data: bytes of the file.

    Returns:
        The beginning of a sentence, such as "the file is an HTML page".
    """
    if not data:
        return "the file is empty"
    if not data.strip(b"\0"):
        return "the file holds only zero bytes"
    for start, name in _OTHERS:
        if data.startswith(start):
            return f"the file is {name}"
    if data[4:8] == b"ftyp":
        return f"the file is {_FTYP_BRANDS.get(data[8:12], 'an MP4 or QuickTime video')}"
    return f"the file is {_describe_text(data)}"


def _is_bitmap(data: bytes) -> bool:
    # "BM" alone also begins plain text; the size of the second header settles it.
    header_size = int.from_bytes(data[14:18], "little")
    return len(data) >= _BMP_HEADER_BYTES and header_size in {12, 16, 40, 52, 56, 64, 108, 124}


def _describe_text(data: bytes) -> str:
    beginning = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, name in _TEXT_STARTS:
        if beginning.startswith(start):
            return name
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in beginning)
    if beginning and printable >= 0.95 * len(beginning):
        return "text"
    return f"of an unknown kind (it begins with {data[:8].hex(' ')})"
