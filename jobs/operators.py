"""Stable names and uids for every operator, those that the SQL planner makes included.

State is restored by uid. The planner's own uids hold the numbers of its plan, which shift with any change of any query.
These say what an operator is, in lower case, and of several that are alike the second is `-2`; the ones with state are
the only ones of their kind.
"""

import re
from collections import Counter
from typing import Any

from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import get_field_value

_OWN_NAMES = {
    "kafkasource-default-catalog-default-database-clicks": "clicks",
    "pythoncalc": "pack",
    "localwindowaggregate": "count-locally",
    "globalwindowaggregate": "count",
    "windowrank": "rank",
    "groupaggregate": "balance",
    "sink": "ledger",
    "streamingfilewriter": "write",
    "kafkasource-default-catalog-default-database-window-events": "events",
    "kafkasource-default-catalog-default-database-window-statements": "statements",
}
_BY_COUNTRY = "WindowAggregate(groupBy=[ad_id, country, "
_NO_OPERATORS = ("PartitionTransformation", "UnionTransformation", "SideOutputTransformation")
_STARTS_A_CHAIN = "pack"
"""Time spent in an operator chained to the source counts as idleness of unread partitions (FLINK-40234)."""


def name_operators(env: StreamExecutionEnvironment) -> list[str]:
    """Give each operator of the job its name and uid; returns them in the order of the dataflow."""
    alike: Counter[str] = Counter()
    uids = []
    for operator in _operators(env):
        uid = _uid(operator.getName(), operator.getDescription() or "", alike)
        operator.setUid(uid)
        operator.setName(uid)
        if uid == _STARTS_A_CHAIN:
            operator.setChainingStrategy(
                get_gateway().jvm.org.apache.flink.streaming.api.operators.ChainingStrategy.HEAD
            )
        uids.append(uid)
    return uids


def _operators(env: StreamExecutionEnvironment) -> list[Any]:
    """Return the transformations that become operators, inputs before what they feed."""
    found: dict[int, Any] = {}

    def visit(transformation: Any) -> None:
        if transformation.getId() not in found:
            for upstream in transformation.getInputs():
                visit(upstream)
            found[transformation.getId()] = transformation

    for transformation in get_field_value(env._j_stream_execution_environment, "transformations"):
        visit(transformation)
    return [t for t in found.values() if t.getClass().getSimpleName() not in _NO_OPERATORS]


def _uid(planner_name: str, description: str, alike: Counter[str]) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\[\d+\]", "", planner_name).lower()).strip("-")
    name = _OWN_NAMES.get(words, words) + ("-by-country" if _BY_COUNTRY in description else "")
    alike[name] += 1
    return name if alike[name] == 1 else f"{name}-{alike[name]}"
