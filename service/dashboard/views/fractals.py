"""The fractal images that a job would calibrate with, to look at before it is submitted."""

from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from fractal_data import contact_sheet, fractal_images
from service.dashboard.session_auth import Visitor

router = APIRouter()
COLUMNS = 8
MOST_PIXELS = 1_200_000  # drawn for one sheet; a few hundred milliseconds
MOST_IMAGES = 16
Side = Annotated[int, Query(ge=8, le=1024)]


@router.get("/fractals.png")
def sheet(
    _: Visitor,
    seed: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    height: Side = 64,
    width: Side = 64,
    channels: Annotated[int, Query(ge=1, le=4)] = 3,
) -> Response:
    """The first images of that seed in that size: the same ones that the worker draws, pixel by pixel."""
    count = max(1, min(MOST_IMAGES, MOST_PIXELS // (height * width)))
    [images] = fractal_images(count, (height, width), seed, channels=channels)
    file = BytesIO()
    contact_sheet(images, COLUMNS).save(file, "PNG")
    return Response(file.getvalue(), media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})
