"""Lists the labelled images of a folder or a manifest, whatever of the known layouts it has."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from configs.errors import DataError
from data.archives import is_archive
from data.folders import SPLIT_NAMES, Listing, is_image_name, list_folder, walk_images
from data.manifests import MANIFEST_ENDINGS, MANIFEST_NAMES, read_manifest
from data.places import Place
from schema.features import Split

_SPAN_FOLDER: Final = re.compile(r"span-(\d{1,9})")
_FIX_LAYOUT: Final = (
    "Give a folder with one folder per class, train/validation/test folders of class folders, "
    "span-N folders of either, or a manifest."
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file that should be an image.

    Attributes:
        path: absolute path, or address in a bucket.
        source: POSIX path relative to the root of the data, as text that UTF-8 can hold.
        label: name of its class.
        split: side that the layout or manifest puts it on; None when content decides.
        span: number of the span it came with, 1 when the data has none.
    """

    path: Place
    source: str
    label: str
    split: Split | None
    span: int


def list_images(root: Place, *, span: int = 0) -> list[ImageFile]:
    """List every image of a data set.

    Known layouts: a folder per class; train, validation and test folders (any of them, under the
    usual aliases) of class folders; a manifest, or a folder that holds `manifest.csv` or
    `manifest.jsonl`; `span-N` folders, each of any of these.

    Args:
        root: folder or manifest file, on this machine or in a bucket.
        span: newest span to read; 0 reads all there are. Without span folders everything is
            span 1.

    Returns:
        At least one image of at least two classes, sorted by source. Hidden entries, `__MACOSX`
        and companions such as README.txt are left out.

    Raises:
        DataError: the path does not exist or cannot be read, the layout is none of the above, it
            holds no image, only one class, an empty class or no training image, or the manifest
            is wrong.
    """
    root = _look_at(root)
    images = [
        image
        for number, folder in _span_folders(root)
        if not span or number <= span
        for image in _list_span(root, folder, number)
    ]
    _check(root, images, span)
    images.sort(key=lambda image: image.source)
    return images


def find_spans(root: Place) -> list[int]:
    """Find the spans of a data set.

    Args:
        root: folder or manifest file.

    Returns:
        Numbers of the `span-N` folders in ascending order; `[1]` when there are none.

    Raises:
        DataError: the path does not exist or cannot be read, or span folders are mixed with others.
    """
    return sorted({number for number, _ in _span_folders(_look_at(root))})


def fingerprint(files: Sequence[ImageFile]) -> str:
    """Digest names, places and file times, so that a run knows whether its data changed.

    Args:
        files: what `list_images` gave.

    Returns:
        16 hexadecimal digits over source, label, split, span, size and time of change of each.
    """
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        try:
            status = file.path.stat()
            state = f"{status.st_size}\0{status.st_mtime_ns}"
        except OSError:  # gone or unreadable: that is a state too
            state = "-"
        line = f"{file.source}\0{file.label}\0{file.split or ''}\0{file.span}\0{state}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def _look_at(root: Place) -> Place:
    if isinstance(root, Path):
        return Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would lose the user's name
    try:
        return root.snapshot()
    except FileNotFoundError as error:
        raise DataError(
            f"data path '{root}' does not exist: {error.strerror}. Check data.path (DATA=...)."
        ) from error
    except OSError as error:
        raise DataError(
            f"data path '{root}' cannot be read: {error.strerror}. Let this account list and read "
            "the bucket (roles/storage.objectViewer), or give another data.path."
        ) from error


def _span_folders(root: Place) -> list[tuple[int, Place]]:
    if not root.exists():
        raise DataError(f"data path '{root}' does not exist. Check data.path (DATA=...).")
    if root.is_file():
        return [(1, root)]
    listing = list_folder(root)
    spans = {name: match for name in listing.folders if (match := _SPAN_FOLDER.fullmatch(name))}
    if not spans or _find_manifest(root, listing):
        return [(1, root)]
    others = [name for name in listing.folders if name not in spans]
    if others:
        raise DataError(
            f"'{root}' mixes span folders ({_some(spans)}) with others ({_some(others)}), expected "
            "span-N folders only. Move the others into a span, or elsewhere."
        )
    return [(int(match[1]), root / name) for name, match in spans.items()]


def _list_span(root: Place, place: Place, span: int) -> Iterator[ImageFile]:
    base = root if root.is_dir() else root.parent
    if place.is_file():
        yield from _list_manifest(base, _require_manifest(place), span)
        return
    listing = list_folder(place)
    manifest = _find_manifest(place, listing)
    if manifest:
        yield from _list_manifest(base, manifest, span)
        return
    splits = [name for name in listing.folders if name.lower() in SPLIT_NAMES]
    if not splits:
        yield from _list_classes(base, place, listing, None, span)
        return
    others = [name for name in listing.folders if name not in splits]
    if others:
        raise DataError(
            f"'{place}' mixes split folders ({_some(splits)}) with others ({_some(others)}), "
            "expected either splits or classes. Rename a class that is called like a split, or "
            "use a manifest."
        )
    _refuse_loose_images(place, listing)
    for name in splits:
        folder = place / name
        yield from _list_classes(base, folder, list_folder(folder), SPLIT_NAMES[name.lower()], span)


def _list_classes(
    base: Place, folder: Place, listing: Listing, split: Split | None, span: int
) -> Iterator[ImageFile]:
    _refuse_loose_images(folder, listing)
    for label in listing.folders:
        class_folder = f"{folder}/{label}" if isinstance(folder, Path) else folder / label
        prefix = _relative(class_folder, base)
        is_empty = True
        for name in walk_images(class_folder):
            is_empty = False
            source = _printable(f"{prefix}/{name}")
            is_local = isinstance(class_folder, str)
            path = Path(f"{class_folder}/{name}") if is_local else class_folder / name
            yield ImageFile(path, source, label, split, span)
        if is_empty and split is None:
            raise DataError(
                f"class folder '{class_folder}' holds no image. Add images, or remove the folder."
            )


def _list_manifest(base: Place, manifest: Place, span: int) -> Iterator[ImageFile]:
    for row in read_manifest(manifest):
        source = _printable(_relative(row.path, base))
        yield ImageFile(row.path, source, row.label, row.split, span)


def _relative(path: str | Place, base: Place) -> str:
    return os.path.relpath(str(path), str(base)).replace(os.sep, "/")


def _find_manifest(folder: Place, listing: Listing) -> Place | None:
    names = [name for name in listing.files if name in MANIFEST_NAMES]
    if len(names) > 1:
        raise DataError(f"'{folder}' holds {' and '.join(names)}, expected one manifest. Keep one.")
    return folder / names[0] if names else None


def _require_manifest(path: Place) -> Place:
    if is_archive(path):
        raise DataError(f"'{path}' is an archive, expected a folder or manifest. Unpack it first.")
    if path.suffix.lower() not in MANIFEST_ENDINGS:
        raise DataError(
            f"'{path}' is a file that ends in '{path.suffix}', expected a manifest "
            f"({', '.join(MANIFEST_ENDINGS)}). {_FIX_LAYOUT}"
        )
    return path


def _refuse_loose_images(folder: Place, listing: Listing) -> None:
    loose = [name for name in listing.files if is_image_name(name)]
    if loose:
        raise DataError(
            f"'{folder}' holds {len(loose)} images outside any class folder ({_some(loose)}). "
            f"Move them into the folder of their class. {_FIX_LAYOUT}"
        )


def _check(root: Place, images: Sequence[ImageFile], span: int) -> None:
    if not images:
        newest = f" up to span {span}" if span else ""
        raise DataError(f"'{root}' holds no images{newest}. {_FIX_LAYOUT}")
    labels = sorted({image.label for image in images})
    for label in labels:
        if not label.isprintable():
            raise DataError(
                f"class name {label!r} below '{root}' has characters that cannot be printed, "
                "expected plain text. Rename it."
            )
    if len(labels) == 1:
        raise DataError(
            f"'{root}' holds one class only ('{labels[0]}'), expected at least two. If that folder "
            f"holds the classes, give it as data.path. {_FIX_LAYOUT}"
        )
    if all(image.split in {Split.VALIDATION, Split.TEST} for image in images):
        raise DataError(
            f"'{root}' holds no training image, only {Split.VALIDATION} or {Split.TEST}"
            " ones. Add a train folder, or leave the split open."
        )


def _printable(text: str) -> str:
    # Names that are not UTF-8 reach Python as lone surrogates, which no tf.Example can hold.
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _some(names: Sequence[str] | dict[str, re.Match[str]]) -> str:
    shown = [f"'{name}'" for name in list(names)[:4]]
    return ", ".join(shown) + (", ..." if len(names) > 4 else "")
