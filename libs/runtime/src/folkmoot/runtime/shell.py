"""The ASGI shell of a service process: health, readiness and metrics.

Liveness never asks a dependency: it says that the event loop turns. Readiness says whether this
process can do its work, and if not, why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import orjson
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from folkmoot.runtime.service import Health

JSON = {"content-type": "application/json"}


def asgi_app(health: Callable[[], Health], registry: CollectorRegistry) -> AsgiFastStream:
    """Return the application that serves `/health/live`, `/health/ready` and `/metrics`."""

    @get
    async def live(_scope: object) -> AsgiResponse:
        return AsgiResponse(b'{"live":true}', 200, headers=JSON)

    @get
    async def ready(_scope: object) -> AsgiResponse:
        now = health()
        return AsgiResponse(orjson.dumps(asdict(now)), 200 if now.ready else 503, headers=JSON)

    @get
    async def metrics(_scope: object) -> AsgiResponse:
        text = generate_latest(registry)
        return AsgiResponse(text, 200, headers={"content-type": CONTENT_TYPE_LATEST})

    return AsgiFastStream(
        asgi_routes=[("/health/live", live), ("/health/ready", ready), ("/metrics", metrics)]
    )
