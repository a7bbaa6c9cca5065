"""Paths in a bucket, with as much of pathlib as Loupe needs of places that may be either."""

import errno
import fnmatch
import io
import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from configs.buckets import BUCKET_SCHEME
from data.bucket_client import REQUEST_SECONDS, as_file_errors, retry_policy, storage_client


class ObjectStatus(NamedTuple):
    """What a listing says of an object, under pathlib's names.

    Attributes:
        st_size: bytes.
        st_mtime_ns: when it was written, nanoseconds since 1970.
    """

    st_size: int
    st_mtime_ns: int


class Snapshot:
    """What folders of a bucket held when they were first asked for, each listed once."""

    def __init__(self) -> None:
        self._objects: dict[str, ObjectStatus] = {}
        self._folders: defaultdict[str, set[str]] = defaultdict(set)
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._listed: set[str] = set()

    def list_folder(self, folder: "BucketPath") -> tuple[set[str], set[str]]:
        """List one folder.

        Args:
            folder: the folder.

        Returns:
            Names of its folders and of its objects.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        if not self._is_listed(folder.url):
            for url, status in folder.list_objects():
                self.add(url, status)
            self._listed.add(folder.url)
        return self._folders.get(folder.url, set()), self._files.get(folder.url, set())

    def add(self, url: str, status: ObjectStatus) -> None:
        """Add an object.

        Args:
            url: its address.
            status: what the bucket says of it.
        """
        self._objects[url] = status
        folder, _, name = url.rpartition("/")
        self._files[folder].add(name)
        while folder.count("/") > BUCKET_SCHEME.count("/"):
            folder, _, name = folder.rpartition("/")
            if name in self._folders[folder]:
                return
            self._folders[folder].add(name)

    def find(self, path: "BucketPath") -> ObjectStatus | None:
        """Look for an object.

        Args:
            path: its path; the folder that it is in is listed, unless it was.

        Returns:
            What the bucket says of it; None when there is no such object.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        if path.url not in self._objects and path.url not in self._listed:
            self.list_folder(path.parent)
        return self._objects.get(path.url)

    def _is_listed(self, url: str) -> bool:
        while url.count("/") >= BUCKET_SCHEME.count("/"):
            if url in self._listed:
                return True
            url = url.rpartition("/")[0]
        return False


@dataclass(frozen=True, slots=True)
class BucketPath:
    """An object or a folder in a bucket.

    It is no os.PathLike: what needs a file of this machine fails instead of making one.

    Attributes:
        url: its gs:// address, without a slash at its end.
        seen: what was listed, and answers from then on; None asks the bucket each time.
    """

    url: str
    seen: Snapshot | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "BucketPath":
        if name.startswith(BUCKET_SCHEME):
            return BucketPath(name.rstrip("/"), self.seen)
        url = f"{self.url}/{name}"
        if "/." in url or "//" in name:
            bucket, _, key = url.removeprefix(BUCKET_SCHEME).partition("/")
            key = posixpath.normpath(f"/{key}").lstrip("/")
            url = f"{BUCKET_SCHEME}{bucket}/{key}".rstrip("/")
        return BucketPath(url, self.seen)

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the last part, with its dot; empty without one."""
        return posixpath.splitext(self.url)[1]

    @property
    def parent(self) -> "BucketPath":
        """The folder that it is in; the bucket itself at the end."""
        bucket, _, key = self.url.removeprefix(BUCKET_SCHEME).partition("/")
        folder = key.rpartition("/")[0]
        return BucketPath(f"{BUCKET_SCHEME}{bucket}/{folder}".rstrip("/"), self.seen)

    def snapshot(self) -> "BucketPath":
        """Look at each folder once, a page of a thousand objects at a time.

        Returns:
            This path, with a memory that those made from it share.

        Raises:
            OSError: there is nothing of this name, or it may not be listed.
        """
        seen = Snapshot()
        path = BucketPath(self.url, seen)
        if not any(seen.list_folder(path)):
            seen.add(self.url, self.stat())
        return path

    def exists(self) -> bool:
        """Say whether there is such an object or folder.

        Returns:
            False also for a bucket that does not exist.
        """
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Say whether there is such an object.

        Returns:
            False also for a bucket that does not exist.
        """
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Say whether there are objects below it.

        Returns:
            False also for a bucket that does not exist.
        """
        try:
            if self.seen:
                return any(self.seen.list_folder(self))
            return any(True for _ in self.list_objects(most=2))
        except FileNotFoundError:
            return False

    def entries(self) -> tuple[list[str], list[str]]:
        """List one folder.

        Returns:
            Names of its folders and of its objects, in no order.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        folders, files = (self.seen or Snapshot()).list_folder(self)
        return list(folders), list(files)

    def stat(self) -> ObjectStatus:
        """Ask for size and time of an object.

        Returns:
            Its status.

        Raises:
            FileNotFoundError: there is no such object.
            OSError: it may not be read.
        """
        if self.seen:
            status = self.seen.find(self)
            if status is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.url)
            return status
        with as_file_errors(self.url):
            blob = self._blob()
            blob.reload(timeout=REQUEST_SECONDS, retry=retry_policy())
            return _status(blob)

    def read_bytes(self) -> bytes:
        """Read an object, whose checksum is held against it.

        Returns:
            The bytes.

        Raises:
            OSError: there is no such object, or it may not be read.
        """
        content = io.BytesIO()
        self.copy_to(content)
        return content.getvalue()

    def read_part(self, start: int, count: int) -> bytes:
        """Read a part of an object.

        Args:
            start: byte to begin with.
            count: bytes to read, above 0.

        Returns:
            The bytes.

        Raises:
            OSError: there is no such object, or it may not be read.
        """
        with as_file_errors(self.url):
            return self._blob().download_as_bytes(
                start=start, end=start + count - 1, timeout=REQUEST_SECONDS, retry=retry_policy()
            )

    def copy_to(self, file: IO[bytes]) -> None:
        """Write what an object holds to a file, as it arrives.

        Args:
            file: takes the bytes; what its `write` raises ends the reading.

        Raises:
            OSError: there is no such object, or it may not be read.
        """
        with as_file_errors(self.url):
            self._blob().download_to_file(
                file, raw_download=True, timeout=REQUEST_SECONDS, retry=retry_policy()
            )

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read an object of text.

        Args:
            encoding: of the text.

        Returns:
            The text.

        Raises:
            OSError: there is no such object, or it may not be read.
        """
        return self.read_bytes().decode(encoding)

    def open(
        self, mode: str = "r", *, encoding: str = "utf-8", newline: str | None = None
    ) -> IO[Any]:
        """Open an object for reading; it is read at once.

        Args:
            mode: `r` or `rb`.
            encoding: of the text, with `r`.
            newline: as of the built-in `open`, with `r`.

        Returns:
            A file of this machine's memory.

        Raises:
            OSError: there is no such object, or it may not be read.
        """
        content = io.BytesIO(self.read_bytes())
        if mode == "rb":
            return content
        return io.TextIOWrapper(content, encoding=encoding, newline=newline)

    def write_bytes(self, data: bytes) -> None:
        """Write an object, whole or not at all.

        Args:
            data: its bytes.

        Raises:
            OSError: the bucket does not exist, or may not be written to.
        """
        self.copy_from(io.BytesIO(data))

    def copy_from(self, file: IO[bytes]) -> None:
        """Write an object, whole or not at all, from a file.

        Args:
            file: gives the bytes, from its beginning.

        Raises:
            OSError: the bucket does not exist, or may not be written to.
        """
        size_bytes = file.seek(0, io.SEEK_END)  # a small object is then one request
        file.seek(0)
        with as_file_errors(self.url):
            self._blob().upload_from_file(
                file,
                size=size_bytes,
                content_type="application/octet-stream",
                timeout=REQUEST_SECONDS,
                retry=retry_policy(),
            )

    def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write an object of text, whole or not at all.

        Args:
            text: its text.
            encoding: of the text.

        Raises:
            OSError: the bucket does not exist, or may not be written to.
        """
        self.write_bytes(text.encode(encoding))

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a bucket has no folders, only names with slashes.

        Args:
            parents: as of pathlib.
            exist_ok: as of pathlib.
        """

    def glob(self, pattern: str) -> Iterator["BucketPath"]:
        """Find objects of this folder by their names.

        Args:
            pattern: name with `*` and `?`.

        Yields:
            Their paths.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        for name in self.walk():
            if "/" not in name and fnmatch.fnmatchcase(name, pattern):
                yield self / name

    def unlink(self) -> None:
        """Remove an object.

        Raises:
            OSError: there is no such object, or it may not be removed.
        """
        with as_file_errors(self.url):
            self._blob().delete(timeout=REQUEST_SECONDS, retry=retry_policy())

    def walk(self) -> Iterator[str]:
        """Find the objects at any depth.

        Yields:
            Path of each, relative to this folder.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        for url, _ in self.list_objects():
            yield url.removeprefix(f"{self.url}/")

    def list_objects(self, most: int | None = None) -> Iterator[tuple[str, ObjectStatus]]:
        """Ask the bucket what is below this folder, at any depth.

        Args:
            most: objects to ask for; None asks for all.

        Yields:
            Address and status of each object.

        Raises:
            OSError: the bucket does not exist, or may not be listed.
        """
        bucket, _, key = f"{self.url}/".removeprefix(BUCKET_SCHEME).partition("/")
        with as_file_errors(self.url):
            found: Any = storage_client().list_blobs(
                bucket,
                prefix=key or None,
                max_results=most,
                fields="items(name,size,updated),nextPageToken",
                timeout=REQUEST_SECONDS,
                retry=retry_policy(),
            )
            for blob in found:
                if not blob.name.endswith("/"):  # what TensorFlow and consoles make of a folder
                    yield f"{BUCKET_SCHEME}{bucket}/{blob.name}", _status(blob)

    def _blob(self) -> Any:
        bucket, _, key = self.url.removeprefix(BUCKET_SCHEME).partition("/")
        return storage_client().bucket(bucket).blob(key)


def _status(blob: Any) -> ObjectStatus:
    return ObjectStatus(int(blob.size), int(blob.updated.timestamp() * 1_000_000) * 1000)
