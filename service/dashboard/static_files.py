"""The files that pages load: styles and scripts, ours and the report's; browsers may keep them, for their names change."""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from workers.errors import NotFound

router = APIRouter()
OURS = files("service.dashboard") / "static"
REPORT = files("workers.report") / "templates"
FILES = {
    "report.css": (REPORT / "style.css", "text/css"),
    "report.js": (REPORT / "script.js", "text/javascript"),
    "dashboard.css": (OURS / "dashboard.css", "text/css"),
    "live.js": (OURS / "live.js", "text/javascript"),
    "upload.js": (OURS / "upload.js", "text/javascript"),
    "pack.js": (OURS / "pack.js", "text/javascript"),
    "builder.js": (OURS / "builder.js", "text/javascript"),
    "icon.svg": (OURS / "icon.svg", "image/svg+xml"),
}


@cache
def _content(name: str) -> bytes:
    if name not in FILES:
        raise NotFound(f"There is no file {name}.")
    return FILES[name][0].read_bytes()


@cache
def version_of(name: str) -> str:
    """Changes with the content of the file."""
    return sha256(_content(name)).hexdigest()[:12]


@router.get("/static/{name}")
def read(name: str) -> Response:
    """A file; for ever the same under its versioned address."""
    return Response(_content(name), media_type=FILES[name][1], headers={"Cache-Control": "public, max-age=31536000, immutable"})
