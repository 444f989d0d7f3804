"""A cluster of Kafka nodes on this machine, with a listener of its own for each link.

A client that comes in by a listener is told, for every node, the address that this listener
advertises. So a link's listener advertises the link's proxies, and whoever starts there is never
told of a way past them; other clients and the nodes themselves use the plain listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from folkmoot.local.kafka import DATA, SETTINGS, KafkaServer, brokers
from folkmoot.local.ports import LOOPBACK, free_port
from folkmoot.local.processes import LOOK_EVERY_S
from tests.chaos.proxy import Link

REPLICAS, IN_SYNC = 3, 2
LOOK_WITHIN_S = 60.0


def free_ports() -> Iterator[int]:
    """Yield ports that nobody listens on, none twice: whom they are for may listen later."""
    given: set[int] = set()
    while True:
        if (port := free_port()) not in given:
            given.add(port)
            yield port


@dataclass(frozen=True)
class Place:
    """The ports of one node: for everybody, for controllers, and for each link."""

    node_id: int
    port: int
    controller: int
    by_link: Mapping[str, int]


class Node(KafkaServer):
    """One node of the cluster, broker and controller in one process."""

    def __init__(
        self, folder: Path, place: Place, places: Sequence[Place], links: Mapping[str, Link]
    ):
        name = f"kafka-{place.node_id}"
        super().__init__(folder / name, place.port, log=folder / "logs" / f"{name}.log")
        self.name, self.node_id = name, place.node_id
        self._place, self._places, self._links = place, places, links

    def properties(self) -> Mapping[str, str | int]:
        replicas = min(REPLICAS, len(self._places))
        own = self._place
        here = f"PLAINTEXT://{LOOPBACK}:{own.port}"
        via = [(_listener(n), name) for n, name in enumerate(self._links)]
        links = [f"{to}://{LOOPBACK}:{own.by_link[name]}" for to, name in via]
        proxies = [f"{to}://{LOOPBACK}:{self._links[name].ports[own.node_id]}" for to, name in via]
        plain = ",".join(
            f"{to}:PLAINTEXT" for to in ["PLAINTEXT", "CONTROLLER", *(t for t, _ in via)]
        )
        return {
            **SETTINGS,
            "node.id": own.node_id,
            "listeners": ",".join([here, f"CONTROLLER://{LOOPBACK}:{own.controller}", *links]),
            "advertised.listeners": ",".join([here, *proxies]),
            "listener.security.protocol.map": plain,
            "controller.quorum.voters": ",".join(
                f"{each.node_id}@{LOOPBACK}:{each.controller}" for each in self._places
            ),
            "offsets.topic.replication.factor": replicas,
            "unclean.leader.election.enable": "false",
            "log.dirs": DATA,
        }


def _listener(number: int) -> str:
    return f"LINK{number}"


@dataclass(frozen=True)
class Cluster:
    """The nodes, and the links to them by name."""

    nodes: Sequence[Node]
    links: Mapping[str, Link]

    @classmethod
    def plan(
        cls, folder: Path, size: int, link_names: Sequence[str], ports: Iterator[int]
    ) -> Cluster:
        """Choose `ports` for `size` nodes and for links of these names. Nothing runs yet."""
        places = [
            Place(n, next(ports), next(ports), {name: next(ports) for name in link_names})
            for n in range(1, size + 1)
        ]
        links = {
            name: Link({place.node_id: (next(ports), place.by_link[name]) for place in places})
            for name in link_names
        }
        nodes = [Node(folder, place, places, links) for place in places]
        for node in nodes:
            node.cluster_id = nodes[0].cluster_id
        return cls(nodes, links)

    @property
    def address(self) -> str:
        """HOST:PORT of every node."""
        return ",".join(node.address for node in self.nodes)

    def address_by(self, link: str) -> str:
        """HOST:PORT of every node, as who uses `link` must write it."""
        return ",".join(f"{LOOPBACK}:{port}" for port in self.links[link].ports.values())

    async def complete(self) -> None:
        """Wait until every node serves: topics made before would have too few replicas."""
        async with asyncio.timeout(LOOK_WITHIN_S):
            for node in self.nodes:
                while await brokers(node.address) < len(self.nodes):
                    await asyncio.sleep(LOOK_EVERY_S)
