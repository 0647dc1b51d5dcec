"""Commits of Kafka transactions that end, one way or the other."""

from concurrent.futures import Future
from threading import Thread

from kafka import KafkaProducer

from local.processes import LocalError

SECONDS = 120.0  # more than a broker takes to start again


def commit(producer: KafkaProducer, seconds: float = SECONDS) -> None:
    """Commit the producer's transaction; LocalError when it is not known in time whether it was committed.

    kafka-python's own call has no timeout, and 3.0.12 forgets the request when the connection to the coordinator fails
    as it is about to be sent: it would wait for ever. The coordinator then rolls back once the transaction times out.
    """
    committed: Future[None] = Future()

    def wait() -> None:
        try:
            committed.set_result(producer.commit_transaction())
        except BaseException as error:
            committed.set_exception(error)

    Thread(target=wait, daemon=True).start()
    try:
        committed.result(seconds)
    except TimeoutError as error:
        raise LocalError(
            f"Kafka did not say within {seconds:.0f} s whether it committed the transaction: "
            "run the same command again, it goes on from what was committed."
        ) from error
