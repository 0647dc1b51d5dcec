from threading import Event

import pytest
from kafka.errors import ProducerFencedError

from audit.transactions import commit
from local.processes import LocalError


class Producer:
    """Commits by doing what it was made for."""

    def __init__(self, commit_transaction):
        self.commit_transaction = commit_transaction


def test_a_commit_that_is_answered_returns():
    answered = []
    commit(Producer(lambda: answered.append(True)))
    assert answered


def test_a_refusal_is_raised_as_it_came():
    def refuse():
        raise ProducerFencedError("another has begun")

    with pytest.raises(ProducerFencedError, match="another has begun"):
        commit(Producer(refuse))


def test_a_commit_that_the_client_forgot_ends_with_a_sentence():
    forever = Event()
    with pytest.raises(LocalError, match="did not say within 0 s whether it committed"):
        commit(Producer(forever.wait), seconds=0.01)
    forever.set()
