"""Why no broker let a client in, from what can be seen without one."""

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.refusals import why_not_connected
from local.processes import free_port
from tests.secure_broker import an_authority, signed_by


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return an_authority(tmp_path, "authority")


@pytest.fixture
def server(authority: Path) -> Iterator[str]:
    """The address of something that speaks TLS, with a certificate of the authority, to one caller."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed_by(authority))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greet, args=(listener, context))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def _greet(listener: socket.socket, context: ssl.SSLContext) -> None:
    caller, _ = listener.accept()
    with caller:
        try:
            context.wrap_socket(caller, server_side=True).close()
        except ssl.SSLError:
            return


def test_where_nothing_listens_no_broker_answers() -> None:
    servers = f"127.0.0.1:{free_port()}"
    assert why_not_connected({"bootstrap_servers": servers}).startswith(f"No Kafka broker answers at {servers}")


def test_an_address_that_is_none_is_no_broker() -> None:
    assert "No Kafka broker answers at broker" in why_not_connected({"bootstrap_servers": "broker"})


def test_a_certificate_of_a_stranger_is_named(server: str, tmp_path: Path) -> None:
    options = {"security_protocol": "SASL_SSL", "ssl_cafile": str(an_authority(tmp_path, "stranger"))}
    assert "does not fit the TLS option ssl_cafile" in why_not_connected({"bootstrap_servers": server} | options)


def test_with_the_right_certificate_it_must_be_the_password(server: str, authority: Path) -> None:
    options = {"security_protocol": "SASL_SSL", "ssl_cafile": str(authority)}
    assert "refused the user or the password" in why_not_connected({"bootstrap_servers": server} | options)
