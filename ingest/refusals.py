"""Why no broker let a client in: kafka-python itself only says that it could not connect in time."""

import socket
import ssl
from collections.abc import Mapping
from typing import Any

TIMEOUT = 5.0


def why_not_connected(connection: Mapping[str, Any]) -> str:
    """Return the sentence that says so; `connection`: kafka-python's `bootstrap_servers` and security options."""
    servers, protocol = connection["bootstrap_servers"], connection.get("security_protocol", "PLAINTEXT")
    host, _, port = str(servers).split(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), TIMEOUT) as plain:
            if protocol.endswith("SSL"):
                authorities = ssl.create_default_context(cafile=connection.get("ssl_cafile"))
                authorities.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"The certificate of {servers} does not fit the TLS option ssl_cafile: {error.verify_message}."
    except (OSError, ValueError):
        return f"No Kafka broker answers at {servers}: start it, or check the address."
    if protocol.startswith("SASL"):
        return f"Kafka at {servers} refused the user or the password: check both."
    return f"What answers at {servers} takes no {protocol} connection: check the address and the security options."
