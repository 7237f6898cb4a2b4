"""
Answers unknown addresses and wrong methods.

The host tries the functions in the order of their names, so this function has the last name. It also answers the
address of the API itself: a function with an empty route would get its own name as its route.
"""

import re
from urllib.parse import urlsplit

import azure.functions as func

from cpor_app.http.route_table import OPERATIONS
from cpor_app.http.server import error_response, see_other
from cpor_core.errors import Refused

blueprint = func.Blueprint()


@blueprint.function_name("zz_not_found")
@blueprint.route(route="{*path}", auth_level=func.AuthLevel.ANONYMOUS)
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
    fit = [line for line in OPERATIONS if _matches(line.route, path)]
    fewest = min((line.route.count("{") for line in fit), default=0)
    meant = [line for line in fit if line.route.count("{") == fewest]
    heads = {"HEAD" for line in meant if line.in_words and line.method == "GET"}
    return sorted({line.method for line in meant} | heads)


def _matches(route: str, path: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(route))
    return re.fullmatch(pattern, path.strip("/"), re.IGNORECASE) is not None
