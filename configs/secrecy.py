"""What looks like a secret, so that none is written where others can read it."""

import re

_SECRET_NAME = re.compile(
    r"(^|_)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)"
    r"(_ID)?$",
    re.IGNORECASE,
)
_SECRET_VALUES = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a GitHub token": re.compile(r"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_\w{40,})"),
    "a GitLab token": re.compile(r"\bglpat-[0-9A-Za-z_-]{20,}"),
    "a Slack token": re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a bearer token": re.compile(r"\bbearer\s+[\w.~+/-]{20,}", re.IGNORECASE),
    "a URL with a password": re.compile(
        r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@", re.IGNORECASE
    ),
    "a storage account key": re.compile(r"\bAccountKey=[0-9A-Za-z+/=]{20,}"),
}


def is_secret_name(name: str) -> bool:
    """Tell whether a variable of this name holds a secret.

    Args:
        name: name of an environment variable or of a setting.

    Returns:
        Whether it ends in a word such as PASSWORD, TOKEN or API_KEY.
    """
    return _SECRET_NAME.search(name) is not None


def secret_kind(text: str) -> str | None:
    """Say what kind of secret a text holds.

    Args:
        text: any text.

    Returns:
        Words such as `a private key`; None when nothing in it looks like a secret.
    """
    for kind, pattern in _SECRET_VALUES.items():
        if pattern.search(text):
            return kind
    return None
