"""What is around every page of somebody who is signed in."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from serving.gateway.scopes import Principal, Scope


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """An entry of the navigation.

    Attributes:
        name: of the page; also of its icon.
        title: as people read it.
        path: address.
    """

    name: str
    title: str
    path: str


_LINKS: Final = (
    (Scope.PREDICT, Link("try", "Try", "/console/try")),
    (Scope.ADMIN, Link("review", "Review", "/console/review")),
    (Scope.READ, Link("versions", "Traffic", "/console/versions")),
    (Scope.READ, Link("live", "Live", "/console/live")),
    (Scope.READ, Link("drift", "Drift", "/console/drift")),
    (Scope.ADMIN, Link("rules", "Rules", "/console/rules")),
    (Scope.ADMIN, Link("audit", "Audit", "/console/audit")),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page of somebody who is signed in.

    Attributes:
        page: name of the page.
        principal: who looks.
        form_token: what every form of the session carries.
        links: pages that the viewer may see.
    """

    page: str
    principal: Principal
    form_token: str
    links: Sequence[Link]


def make_frame(page: str, principal: Principal, form_token: str) -> Frame:
    """Make what is around a page.

    Args:
        page: name of the page.
        principal: who looks.
        form_token: of the session.

    Returns:
        The frame, with links to what the viewer may see.
    """
    links = [link for scope, link in _LINKS if principal.may(scope)]
    return Frame(page, principal, form_token, links)
