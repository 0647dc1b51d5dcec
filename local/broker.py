"""A single-node Kafka broker (KRaft) on the loopback interface, run from the jars of `make setup`."""

import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient

from local.installation import installation
from local.java import require_java
from local.processes import LOOPBACK, PRIVATE, Daemon, LocalError, await_until, free_port, port_in_use

# One record of the Flink job can be larger than Kafka's 1 MB default: producers use the same limit.
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
START_TIMEOUT = 120.0

SERVER_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs={data}
message.max.bytes={max_bytes}
replica.fetch.max.bytes={max_bytes}
# longer than any transaction timeout of a sink, which must outlast checkpoint interval and recovery
transaction.max.timeout.ms=3600000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
# records keep the time they were produced with, whatever it is, and are never deleted for it
log.message.timestamp.type=CreateTime
log.message.timestamp.after.max.ms=9223372036854775807
log.retention.ms=-1
log.retention.bytes=-1
"""

LOG4J_PROPERTIES = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %c - %m%n
"""


class Broker:
    """A Kafka broker whose configuration, data and log live under `home`."""

    def __init__(self, home: Path, port: int) -> None:
        """`port`: the loopback port for clients."""
        self.home = home.absolute()
        self.port = port
        self.daemon = Daemon("Kafka", self.home / "kafka.pid", self.home / "kafka.log")
        self._properties = self.home / "server.properties"

    @property
    def bootstrap_servers(self) -> str:
        """Host and port, as Kafka clients take them."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> dict[str, Any]:
        """How kafka-python's clients reach it."""
        return {"bootstrap_servers": self.bootstrap_servers}

    def alive(self) -> bool:
        """Whether the broker's process runs."""
        return self.daemon.alive()

    def start(self) -> None:
        """Start the broker, with the data an earlier one left in `home`; return when it answers."""
        if self.alive():
            return
        self.daemon.stop()  # what is left of a killed one may still hold the port
        if port_in_use(self.port):
            raise LocalError(f"Port {self.port} is in use: free it, or choose another port for Kafka.")
        if not self._properties.exists():
            self._format_storage()
        self.daemon.start([*self._java("-Xmx1g"), "kafka.Kafka", str(self._properties)], cwd=self.home)
        await_until(lambda: port_in_use(self.port), "Starting Kafka", START_TIMEOUT, self.daemon)

    def stop(self) -> None:
        """Stop the broker; its data stays."""
        self.daemon.stop()

    def create_topics(self, partitions: Mapping[str, int]) -> None:
        """Create the topics (name to number of partitions) that do not exist yet."""
        with self._admin() as admin:
            missing = partitions.keys() - set(admin.list_topics())
            topics = {name: {"num_partitions": partitions[name], "replication_factor": 1} for name in missing}
            if topics:
                admin.create_topics(topics, wait_for_metadata=True)

    def delete_topics(self, names: Iterable[str]) -> None:
        """Delete those of the topics that exist; return when they are gone."""
        with self._admin() as admin:
            present = set(names) & set(admin.list_topics())
            if present:
                admin.delete_topics(list(present))
            await_until(lambda: not present & set(admin.list_topics()), "Deleting topics", 30)

    def partitions(self, topic: str) -> int:
        """The topic's number of partitions."""
        with self._admin() as admin:
            return len(admin.describe_topics([topic])[0]["partitions"])

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(**self.connection)

    def _java(self, *options: str) -> list[str]:
        """The java command up to the main class; native libraries unpack under `home`, not in /tmp."""
        jars = installation() / "build" / "jars" / "kafka"
        if not any(jars.glob("kafka_*.jar")):
            raise LocalError(f"Kafka is missing in {jars}: run make setup.")
        java = str(require_java() / "bin" / "java")
        own = [f"-Djava.io.tmpdir={self._directory('tmp')}", "-XX:-UsePerfData"]
        logging = [f"-Dlog4j.configuration=file:{self.home / 'log4j.properties'}"]
        return [java, *options, *own, *logging, "-cp", f"{jars}/*"]

    def _format_storage(self) -> None:
        """Write the configuration, last of all: an interrupted formatting is begun anew."""
        data, draft = self._directory("data"), self.home / "server.properties.draft"
        shutil.rmtree(data)
        (self.home / "log4j.properties").write_text(LOG4J_PROPERTIES, encoding="utf-8")
        draft.write_text(self._server_properties(data), encoding="utf-8")
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id}", "-c", str(draft)]
        command = [*self._java(), *tool, *self._format_options()]
        answer = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        if answer.returncode != 0:
            raise LocalError(f"Kafka could not format {data}: {answer.stderr.strip() or answer.stdout.strip()}")
        draft.rename(self._properties)

    def _format_options(self) -> list[str]:
        """What else the data is formatted with: nothing, on a broker that lets anyone in."""
        return []

    def _server_properties(self, data: Path) -> str:
        return SERVER_PROPERTIES.format(
            host=LOOPBACK, port=self.port, controller_port=free_port(), data=data, max_bytes=MAX_MESSAGE_BYTES
        )

    def _directory(self, name: str) -> Path:
        directory = self.home / name
        directory.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        return directory
