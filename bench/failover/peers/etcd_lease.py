"""An election of etcd: a lease kept alive three times its ttl, and the server's own campaign.

    python -m bench.failover.peers.etcd_lease URL MEMBER TTL_S

It speaks etcd's JSON gateway (`/v3/election/campaign` and so on), which offers what the client
libraries do. The server may grant a longer ttl than was asked for; `ready` tells which.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.request
from base64 import b64encode
from typing import Any

from bench.failover.peers.contender import say, say_leading

NAME = b64encode(b"leader").decode()


def post(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Call one method of the gateway."""
    data = json.dumps(body).encode()
    with urllib.request.urlopen(url + path, data) as answer:
        called: dict[str, Any] = json.load(answer)
    return called


def keep_alive(url: str, lease: str, ttl_s: int) -> None:
    """Renew the lease for as long as this process lives."""
    while True:
        time.sleep(ttl_s / 3)
        post(url, "/v3/lease/keepalive", {"ID": lease})


def main(url: str, member: str, ttl: str) -> None:
    """Contend until there is nobody to tell."""
    granted = post(url, "/v3/lease/grant", {"TTL": ttl})
    lease, ttl_s = granted["ID"], int(granted["TTL"])
    threading.Thread(target=keep_alive, args=(url, lease, ttl_s), daemon=True).start()
    say(f"ready {ttl_s}")
    campaign = {"name": NAME, "lease": lease, "value": b64encode(member.encode()).decode()}
    leading: list[dict[str, Any]] = []

    def stand() -> None:
        while True:
            leading.append(post(url, "/v3/election/campaign", campaign)["leader"])
            say_leading()
            resigned.wait()
            resigned.clear()

    resigned = threading.Event()
    threading.Thread(target=stand, daemon=True).start()
    for _ in sys.stdin:
        post(url, "/v3/election/resign", {"leader": leading.pop()})
        resigned.set()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
