"""A broker and a cluster that others run, in place of those of the local stack."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.broker import Broker
from local.cluster import Cluster
from local.processes import LocalError, exit_on_sigterm, free_port
from local.stack import Stack


class ExternalBroker(Broker):
    """A broker that is neither started nor stopped here."""

    def __init__(self, bootstrap_servers: str, security: dict[str, Any], home: Path) -> None:
        """`security`: kafka-python's options."""
        super().__init__(home, 0)
        self._connection = {"bootstrap_servers": bootstrap_servers, **security}

    @property
    def bootstrap_servers(self) -> str:
        """Hosts and ports, as Kafka clients take them."""
        return str(self._connection["bootstrap_servers"])

    @property
    def connection(self) -> dict[str, Any]:
        """How kafka-python's clients reach it."""
        return self._connection

    def alive(self) -> bool:
        """Whoever runs it sees to that."""
        return True

    def start(self) -> None:
        """Nothing: it runs."""

    def stop(self) -> None:
        """Nothing: it runs on."""


class ExternalCluster(Cluster):
    """A cluster that is neither started nor stopped here.

    Flink's configuration, which leads `flink run` to it, and its checkpoints are in the folders of `home`, as a
    cluster's own are.
    """

    def __init__(self, home: Path, rest_url: str) -> None:
        super().__init__(home, 0)
        self.rest_url = rest_url


def client_options(file: Path | None) -> dict[str, Any]:
    """Return kafka-python's options in a JSON file, if one is given. Raises LocalError when it cannot be read."""
    try:
        return dict(json.loads(file.read_bytes())) if file else {}
    except (OSError, TypeError, ValueError) as error:
        raise LocalError(f"Cannot read {file} as JSON: {error}.") from error


@contextmanager
def cluster_beside(bootstrap_servers: str, security: dict[str, Any], slots: int) -> Iterator[Stack]:
    """A temporary cluster on this machine, for the topics of a broker that others run; `security`: kafka-python's."""
    home = Path(tempfile.mkdtemp(prefix="clickproof-"))
    stack = Stack(home, 0, free_port(), slots)
    stack.broker = ExternalBroker(bootstrap_servers, security, home / "kafka")
    with exit_on_sigterm():
        try:
            stack.start()
            yield stack
        finally:
            stack.down()
