"""The driver of Restate: requests to its ingress.

python -m bench.sagas.programs.restate_client URL
"""

from __future__ import annotations

import sys

from aiohttp import ClientSession, TCPConnector

from bench.sagas.loops import Load
from bench.sagas.programs.driving import start, take_orders


async def run_saga(session: ClientSession, url: str, load: Load, number: int) -> None:
    """Call a saga and see it end as its shape says."""
    task = {"n": number, "width": load.width}
    async with session.post(f"{url}/saga/{load.shape}", json=task) as response:
        result = await response.json()
        assert response.status == 200, result
    steps = load.width if load.shape == "wide" else 3
    expected = {f"s{place}": number + place + 1 for place in range(steps)}
    assert result == ("compensated" if load.shape == "undo" else expected), result


async def main(url: str) -> None:
    """Take orders."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        await take_orders(lambda load, number: run_saga(session, url, load, number))


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
