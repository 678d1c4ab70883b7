"""Numbers for Prometheus, in its text format."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import PlainTextResponse, Response

from controlplane.api.metrics import Metrics
from controlplane.api.openapi_parts import answers
from controlplane.api.security import Monitor

router = APIRouter(tags=["health"])


async def _of(request: Request) -> Metrics:
    found = request.app.state.metrics
    assert isinstance(found, Metrics)
    return found


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=PlainTextResponse,
    responses=answers(None, "forbidden", status=200),
)
async def get_metrics(metrics: Annotated[Metrics, Depends(_of)], _: Monitor) -> Response:
    """Show counters, durations and gauges of the installation and of the replica that answers, for Prometheus. The
    answer is at most a second old. The token must reach all tenants; with `LANDLORD_METRICS_OPEN`, none is needed."""
    return Response(await metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
