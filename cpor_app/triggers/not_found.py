"""
Answers unknown addresses and wrong methods.

The host tries the functions in the order of their names, so this function has the last name. It also answers the
address of the API itself: a function with an empty route would get its own name as its route.
"""

import re
from urllib.parse import urlsplit

import azure.functions as func

from cpor_app.functions import ROUTES
from cpor_app.http.server import error_response, see_other
from cpor_core.errors import Refused


async def zz_not_found(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer 405 with `Allow` on a known address, else 404. `/api` redirects to `/docs`."""
    path = str(req.route_params.get("path") or "").strip("/")
    if not path and req.method in ("GET", "HEAD"):
        return see_other(f"{urlsplit(req.url).path.rstrip('/')}/docs", req, context)
    allowed = allowed_methods(path)
    if allowed:
        refused = Refused(
            "MethodNotAllowed",
            f"This address takes {', '.join(allowed)}.",
            resolution="Use one of these methods.",
        )
        return error_response(refused, req, context, {"Allow": ", ".join(allowed)})
    refused = Refused("NotFound", "There is no such address.", resolution="GET /openapi.json describes what there is.")
    return error_response(refused, req, context, {})


def allowed_methods(path: str) -> list[str]:
    """
    Return the sorted methods of a path; none for an unknown path.

    If two routes fit, the route with fewer parameters counts. So `associations/import` is not an association.
    """
    fit = [route for route in ROUTES.values() if _matches(route.path, path)]
    fewest = min((route.path.count("{") for route in fit), default=0)
    return sorted({method for route in fit if route.path.count("{") == fewest for method in route.methods})


def _matches(route: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route))
    return re.fullmatch(pattern, path.strip("/"), re.IGNORECASE) is not None
