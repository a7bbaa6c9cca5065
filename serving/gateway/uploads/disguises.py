"""Finds files that are a picture and something else at once, such as a JPEG that is an HTML page.

Nothing of an upload is ever served or run here. It is refused all the same, because a picture is
where such a file hides on its way to a program that is less careful.
"""

import re
import struct
from typing import Final

from data.signatures import describe_content
from serving.gateway.errors import UnprocessableError
from serving.gateway.uploads.layouts import Layout

_FIX: Final = "Open the picture and save it again, which leaves out everything else."
_ACCEPTED: Final = "a picture and its metadata, nothing else"

# Written in metadata, these make a browser, an interpreter or a reader see what the file is not.
_FOREIGN: Final = re.compile(
    rb"<(script|html|!doctype html|iframe|body|svg|\?php)\b|%PDF-\d", re.IGNORECASE
)
_PADDING: Final = b"\0\xff \t\r\n"
_ZIP_END_MARK: Final = b"PK\5\6"
_ZIP_DIRECTORY_MARK: Final = b"PK\1\2"
_ZIP_END_BYTES: Final = 22
_ZIP_COMMENT_BYTES: Final = 0xFFFF
_GIF_WIDTH: Final = slice(6, 8)


def check_disguise(data: bytes, image_format: str, layout: Layout, *, subject: str) -> None:
    """Refuse a file that is something else besides a picture.

    Args:
        data: bytes of the whole file.
        image_format: what its first bytes say.
        layout: where its parts lie; its end is known.
        subject: what messages call the picture.

    Raises:
        UnprocessableError: something foreign follows the picture or hides in its metadata.
    """
    end = len(data) if layout.end is None else layout.end
    tail = data[end:]
    padding = b"" if image_format == "bmp" else _PADDING  # the model's decoder allows it none
    if tail.strip(padding) and not (image_format == "jpeg" and _is_of_a_camera(tail)):
        content = describe_content(tail).removeprefix("the file ").removeprefix("is ")
        _refuse(subject, f"goes on for {len(tail)} bytes after its end: {content}")
    for start, stop in (*layout.metadata, (end, len(data))):
        if match := _FOREIGN.search(data, start, stop):
            words = match.group().decode("ascii")
            _refuse(subject, f"holds {words!r} at byte {match.start()}, where pictures have none")
    if _is_zip(data):
        _refuse(subject, "is a zip archive as well")
    if image_format == "gif" and data[_GIF_WIDTH] in {b"/*", b"//"} and _is_script(data, layout):
        _refuse(subject, "is a JavaScript program as well")


def _is_of_a_camera(tail: bytes) -> bool:
    # Phones append more pictures (MPO, gain maps of HDR), a film, or Samsung's own records.
    return tail.startswith(b"\xff\xd8\xff") or tail[4:8] == b"ftyp" or tail.endswith(b"SEFT")


def _is_zip(data: bytes) -> bool:
    # Archives are read from their end. The mark alone would be found in one picture of 65,000.
    start = len(data) - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES
    mark = data.rfind(_ZIP_END_MARK, max(0, start))
    if mark < 0 or mark + _ZIP_END_BYTES > len(data):
        return False
    (directory_bytes,) = struct.unpack_from("<I", data, mark + 12)
    directory = mark - directory_bytes
    return directory >= 0 and data[directory : directory + 4] in {
        _ZIP_DIRECTORY_MARK,
        _ZIP_END_MARK,  # an archive of nothing
    }


def _is_script(data: bytes, layout: Layout) -> bool:
    # "GIF89a/*" opens a comment that must be closed by what stands in the metadata.
    return any(data.find(b"*/", start, stop) >= 0 for start, stop in layout.metadata)


def _refuse(subject: str, problem: str) -> None:
    raise UnprocessableError(
        f"{subject} {problem}",
        got="a picture that is something else too",
        accepted=_ACCEPTED,
        fix=_FIX,
    )
