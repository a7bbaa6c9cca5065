"""The console's routes."""

from typing import Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from serving.gateway.auth.dependency import allow_everybody
from serving.gateway.console.access import find_viewer, frame_page
from serving.gateway.console.assets import Assets, read_assets
from serving.gateway.console.pages.admin import add_admin_pages
from serving.gateway.console.pages.drift import add_drift_page
from serving.gateway.console.pages.live import add_live_page
from serving.gateway.console.pages.review import add_review_pages
from serving.gateway.console.pages.sign_in import add_sign_in_pages
from serving.gateway.console.pages.try_image import add_try_page
from serving.gateway.console.pages.versions import add_versions_page
from serving.gateway.console.routing import make_route_class
from serving.gateway.console.templating import make_pages
from serving.gateway.errors import NotFoundError

_OPEN: Final = [Depends(allow_everybody)]
_FOR_EVER: Final = "public, max-age=31536000, immutable"


def make_router() -> APIRouter:
    """Make the console; the application keeps its `ConsoleParts` in `app.state.console`.

    Returns:
        Routes below `/console`, left out of the OpenAPI document.
    """
    assets = read_assets()
    pages = make_pages(assets)
    router = APIRouter(
        prefix="/console", include_in_schema=False, route_class=make_route_class(pages)
    )
    _add_static_files(router, assets)
    add_sign_in_pages(router, pages)
    add_try_page(router, pages)
    add_review_pages(router, pages)
    add_versions_page(router, pages)
    add_live_page(router, pages)
    add_drift_page(router, pages)
    add_admin_pages(router, pages)
    _add_ends(router)
    return router


def _add_static_files(router: APIRouter, assets: Assets) -> None:
    @router.get("/static/{fingerprint}/{name}", dependencies=_OPEN)
    async def get_static_file(fingerprint: str, name: str) -> Response:
        asset = assets.files.get(name)
        if asset is None or fingerprint != assets.fingerprint:
            raise NotFoundError(f"no static file '{name[:100]}'.", fix="Load the page again.")
        return Response(
            asset.content, media_type=asset.content_type, headers={"Cache-Control": _FOR_EVER}
        )


def _add_ends(router: APIRouter) -> None:
    @router.get("", dependencies=_OPEN)
    @router.get("/", dependencies=_OPEN)
    async def go_to_first_page(request: Request) -> Response:
        viewer = find_viewer(request)
        links = frame_page(request, viewer, "").links if viewer else ()
        return RedirectResponse(links[0].path if links else "/console/try", status_code=303)

    @router.get("/{path:path}", dependencies=_OPEN)
    async def refuse_unknown_page(request: Request) -> Response:
        raise NotFoundError(
            f"There is no page '{request.url.path[:100]}'.", fix="Use the links of the console."
        )
