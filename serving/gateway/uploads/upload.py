"""One picture as it came in."""

import dataclasses

_NAME_LENGTH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """One picture as it came in; nothing about it is checked.

    Attributes:
        data: bytes of the file.
        name: what the caller calls it, for messages; `clean_name` has made it harmless.
        content_type: what the caller says that it is; empty when nothing is said.
    """

    data: bytes
    name: str = ""
    content_type: str = ""

    @property
    def subject(self) -> str:
        """Name the picture in a message.

        Returns:
            The beginning of a sentence, such as "image 'cat.jpg'".
        """
        return f"image {self.name!r}" if self.name else "the image"


def clean_name(name: str) -> str:
    """Keep what a message can show of a file name.

    Args:
        name: anything, paths and control characters included.

    Returns:
        The last part of the path, printable, of at most 100 characters.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    # Neither control characters nor those that turn the direction of writing are printable.
    printable = "".join(letter for letter in last if letter.isprintable())
    return printable.strip(" .")[-_NAME_LENGTH:]
