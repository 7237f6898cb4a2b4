"""
The description of the API as a page.

Script and style sheet are those of the published Swagger UI. `tools/swagger_ui.py` puts them into the app, so that the
page loads nothing from other hosts. A separate script starts Swagger UI, because the page's policy forbids inline
scripts.
"""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from cpor_app.http.request import Call, not_found
from cpor_app.http.route_table import Answer
from cpor_app.http.server import operation

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML, SCRIPT, STYLE = "text/html", "text/javascript", "text/css"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Claiming partner of record: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{api}/docs/swagger-ui.css">
<script src="{api}/docs/swagger-ui.js" defer></script>
<script src="{api}/docs/start.js" defer></script>
</head>
<body>
<main id="description"><noscript>Without script, read <a href="{api}/openapi.json">openapi.json</a>.</noscript></main>
</body>
</html>
"""
START = b"""\
SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#description",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  validatorUrl: null,
});
"""
SWAGGER_UI = Path(__file__).resolve().parents[1] / "swagger_ui"
FILES = {"swagger-ui.js": ("swagger-ui-bundle.js", SCRIPT), "swagger-ui.css": ("swagger-ui.css", STYLE)}
"""The file of Swagger UI and its media type, for each name in the address."""


@operation(
    summary="This description as a page",
    tag="Anyone",
    answers={200: {HTML: str}},
)
async def get_docs(call: Call) -> Answer:
    """The page loads nothing from other hosts."""
    page = PAGE.format(api=urlsplit(call.services.settings.public_url).path)
    return Answer(200, page.encode(), HTML, {"Content-Security-Policy": POLICY})


@operation(
    summary="A file of the page of this description",
    tag="Anyone",
    answers={200: {SCRIPT: str, STYLE: str}},
    refusals=("NotFound",),
)
async def get_docs_file(call: Call) -> Answer:
    """The files are the scripts and the style sheet of the page."""
    name = call.path("docsFile")
    if name == "start.js":
        return Answer(200, START, SCRIPT)
    if name not in FILES:
        raise not_found("file")
    file, media_type = FILES[name]
    return Answer(200, await asyncio.to_thread((SWAGGER_UI / file).read_bytes), media_type)
