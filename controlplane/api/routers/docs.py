"""`/docs`: Swagger UI over the OpenAPI document, served entirely from here: a browser needs no Internet."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, HTMLResponse, Response

router = APIRouter(prefix="/docs", include_in_schema=False)

_FILES = Path(str(files("fastapi_offline"))) / "static"
_KEPT = {"Cache-Control": "public, max-age=3600"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Landlord: the HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# A file of its own, because no inline script of the page may run.
_START = """SwaggerUIBundle({
  url: "/v1/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  docExpansion: "list",
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


@router.get("")
async def get_page() -> Response:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})


@router.get("/start.js")
async def get_start() -> Response:
    return Response(_START, media_type="text/javascript", headers=_KEPT)


@router.get("/swagger-ui-bundle.js")
async def get_script() -> Response:
    return FileResponse(_FILES / "swagger-ui-bundle.js", media_type="text/javascript", headers=_KEPT)


@router.get("/swagger-ui.css")
async def get_style() -> Response:
    return FileResponse(_FILES / "swagger-ui.css", media_type="text/css", headers=_KEPT)
