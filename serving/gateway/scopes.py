"""Who asks, and what they may do."""

import dataclasses
from enum import StrEnum


class Scope(StrEnum):
    """What a credential allows; each route names the one it needs."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    READ = "read"
    ADMIN = "admin"


class CredentialKind(StrEnum):
    """How a caller proved who they are."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105 (a kind of credential, not one)
    DEVELOPMENT = "development"


@dataclasses.dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential was checked.

    Attributes:
        key_id: public id of the API key, or `jwt:<subject>`; what records and logs carry.
        scopes: what the credential allows; `admin` allows everything.
        kind: how the caller proved who they are.
    """

    key_id: str
    scopes: frozenset[Scope]
    kind: CredentialKind

    def may(self, scope: Scope) -> bool:
        """Tell whether the caller may do something.

        Args:
            scope: what the route needs.

        Returns:
            Whether the credential allows it.
        """
        return scope in self.scopes or Scope.ADMIN in self.scopes
