"""The address without a path, which people type."""

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse

from serving.gateway.auth.dependency import allow_everybody

router = APIRouter(dependencies=[Depends(allow_everybody)], include_in_schema=False)


@router.get("/")
async def lead_to_console() -> RedirectResponse:
    """Lead people to the web console.

    Returns:
        A redirection.
    """
    return RedirectResponse("/console/", status_code=303)
