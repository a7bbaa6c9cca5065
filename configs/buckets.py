"""Which places are in a bucket of Google Cloud Storage."""

from typing import Final

BUCKET_SCHEME: Final = "gs://"


def is_in_bucket(place: str) -> bool:
    """Say whether a place is in a bucket.

    Args:
        place: path of a folder or file, or URL.

    Returns:
        True for gs:// URLs.
    """
    return place.startswith(BUCKET_SCHEME)
