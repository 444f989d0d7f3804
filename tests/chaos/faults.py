"""Does what the schedule says, undoes it in time, and keeps count of what was really done.

Whom a fault hits is decided when it comes: a leader is who says that it leads. A fault that finds
nobody whom it could hit, since all suffer already, waits a while and is then counted as missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from folkmoot.core.messages import log
from folkmoot.local.errors import StartFailed
from tests.chaos.agents import agent
from tests.chaos.cluster import Node
from tests.chaos.ledger import parse_effects
from tests.chaos.platform import Platform, Replica
from tests.chaos.schedule import WORKER, Fault

PATIENCE_S = 8.0
NODES_PATIENCE_S = 30.0  # a node that was killed has to catch up before another is
NODE_STARTS = 3  # Kafka ends when it cannot bind a port of its own in time
LOOK_AGAIN_S = 0.2
LOOK_OFTEN_S = 0.01  # much less than a handler waits after it has acted


@dataclass
class Injector:
    """Injects faults into a platform, several at a time."""

    platform: Platform
    tell: Callable[[str], None]
    done: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    _nodes_suffer: bool = False
    _nats_suffers: bool = False

    async def run(self, faults: Sequence[Fault]) -> None:
        """Inject all of `faults` and return when the last is over."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(began + fault.at_s - asyncio.get_running_loop().time())
                group.create_task(self._inject(fault))

    async def _inject(self, fault: Fault) -> None:
        ways: dict[str, Callable[[Fault], Coroutine[None, None, str | None]]] = {
            "kill": self._kill,
            "restart": self._restart,
            "pause": self._pause,
            "kill-node": self._kill_node,
            "kill-all-nodes": self._kill_all_nodes,
            "kill-nats": self._kill_nats,
        }
        way = ways.get(fault.kind, self._harm_link)
        patience_s = NODES_PATIENCE_S if "node" in fault.kind else PATIENCE_S
        patience = asyncio.get_running_loop().time() + patience_s
        while (hit := await way(fault)) is None and asyncio.get_running_loop().time() < patience:
            await asyncio.sleep(LOOK_AGAIN_S)
        kind = f"{fault.kind} {fault.role}".strip()
        if hit is None:
            self.missed[kind] += 1
        else:
            self.done[kind] += 1
        self.tell(f"{fault}  {'found nobody' if hit is None else hit}")

    # -- processes --------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> str | None:
        if (victim := await self._chosen(fault)) is None:
            return None
        with victim.suffering(fault.kind):
            if fault.whom == WORKER:
                await self._has_acted(f"{victim.process.pid}")
            await victim.process.kill()
            await asyncio.sleep(fault.lasts_s)
            await self.platform.start_again(victim.process)
        return victim.process.name

    async def _restart(self, fault: Fault) -> str | None:
        if (victim := await self._chosen(fault)) is None:
            return None
        with victim.suffering(fault.kind):
            await victim.process.stop()
            await asyncio.sleep(fault.lasts_s)
            await self.platform.start_again(victim.process)
        return victim.process.name

    async def _pause(self, fault: Fault) -> str | None:
        if (victim := await self._chosen(fault)) is None:
            return None
        with victim.suffering(fault.kind):
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(fault.lasts_s)
            victim.signal(signal.SIGCONT)
        return victim.process.name

    async def _has_acted(self, member: str) -> None:
        """Wait until a worker has just acted: killed now, it must act again, or seem to."""
        tries = self.platform.ledger.tries_path
        tries.touch()
        with tries.open() as lines:
            lines.seek(0, os.SEEK_END)
            patience = asyncio.get_running_loop().time() + PATIENCE_S
            while asyncio.get_running_loop().time() < patience:
                if any(effect.member == member for effect in parse_effects(lines)):
                    return
                await asyncio.sleep(LOOK_OFTEN_S)

    async def _chosen(self, fault: Fault) -> Replica | None:
        """Return who leads most of the service's shards, or fewest, as the fault asks."""
        well = [each for each in self.platform.of(fault.whom) if each.is_well]
        led = await asyncio.gather(*(each.leads() for each in well))
        well = [each for each in well if each.is_well]
        if not well or len(well) != len(led):
            return None
        ranked = sorted(zip(map(len, led), range(len(well)), strict=True))
        _, place = ranked[-1 if fault.role == "leader" else 0]
        return well[place]

    # -- links ------------------------------------------------------------------------------

    async def _harm_link(self, fault: Fault) -> str | None:
        name = f"{fault.whom}-link"
        (victim,) = (each for each in self.platform.of(fault.whom) if each.link == name)
        if not victim.is_well:
            return None
        link = self.platform.cluster.links[name]
        with victim.suffering(fault.kind):
            if fault.kind == "cut":
                link.cut()
            elif fault.kind == "deafen":
                link.deafen()
            else:
                link.delay_s = fault.delay_s
            await asyncio.sleep(fault.lasts_s)
            link.restore()
        return victim.process.name

    # -- brokers ----------------------------------------------------------------------------

    async def _kill_node(self, fault: Fault) -> str | None:
        """Kill who leads a partition of the service's log; one node at a time, so two remain."""
        if self._nodes_suffer:
            return None
        self._nodes_suffer = True
        topic = log(fault.whom if fault.whom != WORKER else f"agent.{agent.name}")
        node = await self._leader_of(topic, fault.shard)
        if node is not None:
            await self._kill_nodes([node], fault.lasts_s)
        self._nodes_suffer = False
        return None if node is None else f"{node.name}, who led {topic}"

    async def _kill_all_nodes(self, fault: Fault) -> str | None:
        if self._nodes_suffer:
            return None
        self._nodes_suffer = True
        await self._kill_nodes(self.platform.cluster.nodes, fault.lasts_s)
        self._nodes_suffer = False
        return ", ".join(node.name for node in self.platform.cluster.nodes)

    async def _kill_nodes(self, nodes: Sequence[Node], lasts_s: float) -> None:
        await asyncio.gather(*(node.kill() for node in nodes))
        await asyncio.sleep(lasts_s)
        await asyncio.gather(*(self._start_node_again(node) for node in nodes))
        await self.platform.cluster.complete()

    async def _start_node_again(self, node: Node) -> None:
        """Start a node, and again if it gives up, as whoever supervises Kafka would."""
        for _ in range(NODE_STARTS - 1):
            with contextlib.suppress(StartFailed):
                return await self.platform.start_again(node)
        return await self.platform.start_again(node)

    async def _leader_of(self, topic: str, drawn: int) -> Node | None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.platform.cluster.address)
        try:
            await admin.start()
            (described,) = await admin.describe_topics([topic])
        except (KafkaError, TimeoutError):
            return None
        finally:
            await admin.close()
        partitions = described["partitions"]
        leader = partitions[drawn % len(partitions)]["leader"]
        return next((n for n in self.platform.cluster.nodes if n.node_id == leader), None)

    async def _kill_nats(self, fault: Fault) -> str | None:
        if self._nats_suffers:
            return None
        self._nats_suffers = True
        await self.platform.nats.kill()
        await asyncio.sleep(fault.lasts_s)
        await self.platform.start_again(self.platform.nats)
        self._nats_suffers = False
        return self.platform.nats.name
