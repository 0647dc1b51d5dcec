"""A broker that lets nobody in without TLS and SCRAM, and the certificates it takes."""

import subprocess
from pathlib import Path
from typing import Any

from local.broker import Broker

MECHANISM = "SCRAM-SHA-512"
USER, BROKER_USER = "clicks", "broker"
MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


def an_authority(folder: Path, name: str) -> Path:
    """Make a certificate authority; return its certificate, beside which its key lies (PEM)."""
    certificate = folder / f"{name}.pem"
    _openssl("-keyout", certificate.with_suffix(".key"), "-out", certificate, "-subj", f"/CN={name}")
    return certificate


def signed_by(authority: Path) -> Path:
    """Make a certificate for 127.0.0.1; return a file with its key and itself."""
    key, certificate, both = (authority.with_name(name) for name in ("broker.key", "broker.crt", "broker.pem"))
    signer = ["-CA", authority, "-CAkey", authority.with_suffix(".key"), "-addext", "subjectAltName=IP:127.0.0.1"]
    _openssl("-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1", *signer)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def _openssl(*arguments: object) -> None:
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*new, "-days", "2", *map(str, arguments)], check=True, capture_output=True)


class SecureBroker(Broker):
    """A broker with the users `USER` and, for itself, `BROKER_USER`; `password` is that of both."""

    def __init__(self, home: Path, port: int, authority: Path, password: str) -> None:
        super().__init__(home, port)
        self.authority = authority
        self.password = password

    @property
    def connection(self) -> dict[str, Any]:
        login = {"sasl_plain_username": USER, "sasl_plain_password": self.password, "sasl_mechanism": MECHANISM}
        return super().connection | login | {"security_protocol": "SASL_SSL", "ssl_cafile": str(self.authority)}

    def _format_options(self) -> list[str]:
        """The users, from a file: the machine's process list shows arguments."""
        users = [f"{MECHANISM}=[name={name},password={self.password}]" for name in (USER, BROKER_USER)]
        options = self.home / "users"
        options.write_text("".join(f"--add-scram\n{user}\n" for user in users))
        return [f"@{options}"]

    def _server_properties(self, data: Path) -> str:
        plain = super()._server_properties(data).replace("PLAINTEXT://", "SASL_SSL://")
        return f"""{plain}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms={MECHANISM}
sasl.mechanism.inter.broker.protocol={MECHANISM}
listener.name.sasl_ssl.{MECHANISM.lower()}.sasl.jaas.config={MODULE} required \\
  username="{BROKER_USER}" password="{self.password}";
ssl.keystore.type=PEM
ssl.keystore.location={signed_by(self.authority)}
ssl.truststore.type=PEM
ssl.truststore.location={self.authority}
"""
