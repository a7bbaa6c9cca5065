"""Pictures in a multipart/form-data body, read while they arrive."""

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serving.gateway.errors import BadRequestError, TooLargeError, UnsupportedTypeError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.body import CLOSE
from serving.gateway.uploads.upload import Upload, clean_name

FIELD: Final = "image"
_ACCEPTED: Final = f"multipart/form-data with one file in a field `{FIELD}`"
_ACCEPTED_MANY: Final = f"multipart/form-data with files in fields `{FIELD}`"
_PLAIN_ENCODINGS: Final = {b"", b"binary", b"8bit", b"7bit"}


class ImageForm:
    """Collects the files of a form, each up to the size of an image and in memory.

    Args:
        boundary: what stands between the parts, from the Content-Type.
        limits: what is accepted.
        many: whether more than one file is accepted.

    Raises:
        BadRequestError: the boundary is missing or too long.
    """

    def __init__(self, boundary: bytes, limits: UploadSettings, *, many: bool) -> None:
        self._limits = limits
        self._most = limits.max_batch_images if many else 1
        self._accepted = _ACCEPTED_MANY if many else _ACCEPTED
        self._uploads: list[Upload] = []
        self._headers: dict[bytes, bytes] = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._data = bytearray()
        self._name, self._content_type = "", ""
        self._is_whole = False
        if not boundary:
            raise self._bad("the Content-Type names no boundary", "no boundary")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._check_headers,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise self._bad(f"the boundary is not accepted: {error}", "a bad boundary") from error

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body.

        Args:
            chunk: the bytes that have arrived.

        Raises:
            BadRequestError: the body is not well-formed, or has a field that is not known.
            TooLargeError: a file is too large, or there are too many.
            UnsupportedTypeError: a part is encoded.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise self._bad(f"the form is not well-formed: {error}", "a broken form") from error

    def finish(self) -> list[Upload]:
        """Give the files, once the body is whole.

        Returns:
            At least one picture, in the order of the form.

        Raises:
            BadRequestError: the form is cut off or has no file.
        """
        if not self._is_whole:
            raise self._bad("the form ends before its closing boundary", "a form that is cut off")
        if not self._uploads:
            raise self._bad("the form holds no picture", "no field")
        return self._uploads

    def _begin_part(self) -> None:
        self._headers.clear()
        self._data.clear()
        if len(self._uploads) >= self._most:
            raise TooLargeError(
                f"the form has more than {self._most} pictures",
                got=f"more than {self._most} files",
                accepted=f"at most {self._most} in one request",
                fix="Send several requests; many images go to /v1/predict:batch.",
                headers=CLOSE,
            )

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _check_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field != FIELD:
            raise self._bad("the form has a field that is not known", f"field {field[:40]!r}")
        encoding = self._headers.get(b"content-transfer-encoding", b"").strip().lower()
        if encoding not in _PLAIN_ENCODINGS:
            raise UnsupportedTypeError(
                "a file of the form is encoded",
                got=f"Content-Transfer-Encoding: {encoding[:40].decode('latin-1')}",
                accepted="files as they are",
                fix="Leave the header out and send the bytes of the file.",
                headers=CLOSE,
            )
        self._name = clean_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        content_type, _ = parse_options_header(self._headers.get(b"content-type"))
        self._content_type = content_type.decode("latin-1").strip().lower()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if len(self._data) > self._limits.max_image_bytes:
            most = self._limits.max_image_bytes
            raise TooLargeError(
                f"file {len(self._uploads) + 1} of the form has more than {most} bytes",
                got=f"more than {most} bytes",
                accepted=f"at most {most} bytes a picture",
                fix="Make the picture smaller.",
                headers=CLOSE,
            )

    def _end_part(self) -> None:
        self._uploads.append(Upload(bytes(self._data), self._name, self._content_type))

    def _end(self) -> None:
        self._is_whole = True

    def _bad(self, message: str, got: str) -> BadRequestError:
        return BadRequestError(
            message,
            got=got,
            accepted=self._accepted,
            fix=f"With curl: curl -F {FIELD}=@photo.jpg ...",
            headers=CLOSE,
        )
