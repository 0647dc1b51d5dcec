"""What is looked at before a job starts: a job that cannot reach its topics would only restart for ever."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyflink.java_gateway import get_gateway

from jobs.kafka_connection import kafka_properties
from jobs.setting_sources import SettingsError
from jobs.settings import JobSettings

TIMEOUT_MS = 20_000
_REQUEST_TIMEOUT_MS = 5_000


def require_topics(settings: JobSettings, names: Sequence[str]) -> None:
    """See that the topics in these settings exist and may be used; raises `SettingsError`, which names the setting."""
    jvm = get_gateway().jvm
    admin = jvm.org.apache.flink.kafka.shaded.org.apache.kafka.clients.admin.AdminClient.create(_properties(settings))
    try:
        described = admin.describeTopics([getattr(settings, name) for name in names]).topicNameValues()
        for name in names:
            try:
                described.get(getattr(settings, name)).get()
            except Py4JJavaError as error:
                raise SettingsError(_refusal(settings, name, error.java_exception.getCause())) from None
    finally:
        admin.close(jvm.java.time.Duration.ZERO)


def _properties(settings: JobSettings) -> Any:
    properties = get_gateway().jvm.java.util.Properties()
    timeouts = {"default.api.timeout.ms": TIMEOUT_MS, "request.timeout.ms": _REQUEST_TIMEOUT_MS}
    for name, value in (kafka_properties(settings) | timeouts).items():
        properties.setProperty(name, str(value))
    return properties


def _refusal(settings: JobSettings, name: str, cause: Any) -> str:
    """Return the sentence for what a request for a topic ended with."""
    servers, topic = settings.bootstrap_servers, getattr(settings, name)
    match cause.getClass().getSimpleName():
        case "UnknownTopicOrPartitionException":
            return f"{name}: there is no topic {topic} at {servers}"
        case "TopicAuthorizationException" | "ClusterAuthorizationException":
            return f"{name}: {servers} gives {settings.sasl_username or 'this client'} no permission for topic {topic}"
        case "SaslAuthenticationException":
            return f"sasl_password: {servers} refused user {settings.sasl_username} or the password"
        case "SslAuthenticationException":
            authorities = settings.ssl_ca_file or Path("the system")
            return f"ssl_ca_file: no authority in {authorities} signed the certificate of {servers}"
        case _:
            return f"bootstrap_servers: Kafka does not answer at {servers} ({cause.getMessage()})"
