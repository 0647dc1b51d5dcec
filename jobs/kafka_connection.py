"""How the JVM's Kafka clients reach the broker: the only place that hands a secret on."""

from jobs.settings import JobSettings, sasl_password

_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
_LOGIN_MODULES = {
    "PLAIN": f"{_SHADED}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_SHADED}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_SHADED}.scram.ScramLoginModule",
}


def kafka_properties(settings: JobSettings) -> dict[str, str]:
    """Return what Kafka's clients in the JVM need to connect: a secret is among it."""
    properties = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.jaas.config": _login(settings) if settings.sasl_mechanism else None,
        "ssl.truststore.type": "PEM" if settings.ssl_ca_file else None,
        "ssl.truststore.location": str(settings.ssl_ca_file) if settings.ssl_ca_file else None,
    }
    return {name: value for name, value in properties.items() if value is not None}


def _login(settings: JobSettings) -> str:
    module = _LOGIN_MODULES[settings.sasl_mechanism or "PLAIN"]
    username, password = _quoted(settings.sasl_username or ""), _quoted(sasl_password(settings))
    return f"{module} required username={username} password={password};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
