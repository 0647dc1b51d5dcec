import pytest

from local.job_client import root_cause

JAVA = """\
org.apache.flink.runtime.JobException: Recovery is suppressed by NoRestartBackoffTimeStrategy
\tat org.apache.flink.runtime.Handler.handle(Handler.java:219)
Caused by: java.lang.RuntimeException: Could not load state
\t... 14 more
Caused by: java.io.FileNotFoundException: chk-7/_metadata (No such file or directory)
\t... 15 more
"""
PYTHON = """\
Traceback (most recent call last):
  File "click_stream.py", line 10, in <module>
    raise SettingsError("dedupe_horizon: must not be shorter than window")
jobs.settings.SettingsError: dedupe_horizon: must not be shorter than window
"""
PYTHON_WORKER = f"""\
java.lang.RuntimeException: Failed to close remote bundle
\t... 1 more
Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 1: {PYTHON}
\t... 7 more
"""
PY4J = """\
py4j.protocol.Py4JJavaError: An error occurred while calling o8.executeSql.
: org.apache.flink.table.api.ValidationException: Cannot find table 'nowhere'.
\tat org.apache.flink.table.catalog.CatalogManager.getTableOrError(CatalogManager.java:760)
"""


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (JAVA, "chk-7/_metadata (No such file or directory)"),
        (PYTHON, "dedupe_horizon: must not be shorter than window"),
        (PYTHON_WORKER, "dedupe_horizon: must not be shorter than window"),
        (PY4J, "Cannot find table 'nowhere'"),
        ("Set --topic to a topic name.", "Set --topic to a topic name"),
        ("", ""),
    ],
    ids=["java", "python", "python worker", "java called from python", "plain sentence", "nothing"],
)
def test_the_root_cause_is_the_message_that_ends_the_trace(trace: str, message: str) -> None:
    assert root_cause(trace) == message
