"""What a click says beside its identity, in one spelling: the same for clicks that differ in their bytes only.

Flat clicks without escapes are read as columns; any other valid click is read by a JSON reader.
"""

import json
from typing import Any

import numpy as np
import polars as pl

CONTENTS = {"synthetic": pl.Boolean, "country": pl.String, "others": pl.String}

_SPACE = r"[ \t\r\n]*"
_MEMBER = rf'"[^"\\]*":{_SPACE}(?:"[^"\\]*"|[^"\\{{\[,}}\s]+)'
_FLAT = rf"\A{_SPACE}\{{{_SPACE}(?:{_MEMBER}{_SPACE},?{_SPACE})*\}}{_SPACE}\z"
_NULL = rf'"(?:click_id|country)":{_SPACE}null'
_AFTER_COLON = rf'^("[^"]*":){_SPACE}'
_KEY = r'^"([^"]*)"'
_OF_IDENTITY = ("ad_id", "user_id", "ip", "click_timestamp")
_KNOWN = (*_OF_IDENTITY, "click_id", "country")


def contents(clicks: pl.Series) -> pl.DataFrame:
    """Return for each valid click (the JSON text) a row of the schema `CONTENTS`.

    `synthetic`: whether it has no click_id; `country`: as JSON, "" if it has none; `others`: its other fields that are
    not part of the identity, sorted.
    """
    plain, certain = _read_plain(clicks)
    odd = np.flatnonzero(~certain.to_numpy())
    order = np.arange(len(clicks))
    order[odd] = len(clicks) + np.arange(len(odd))
    one_by_one = pl.DataFrame([_read(text) for text in clicks[odd]], schema=CONTENTS, orient="row")
    return pl.concat([plain, one_by_one])[order]


def _read_plain(clicks: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Read the plain clicks as columns; returns the contents and where they hold: not where a key is repeated."""
    member = pl.element()
    members = clicks.to_frame("text").select(
        members=pl.col("text").str.extract_all(_MEMBER).list.eval(member.str.replace(_AFTER_COLON, "$1")),
        plain=pl.col("text").str.contains(_FLAT) & ~pl.col("text").str.contains(_NULL),
    )
    read = members.select(
        "plain",
        once=pl.col("members").list.eval(member.str.extract(_KEY)).list.n_unique() == pl.col("members").list.len(),
        members=pl.col("members").list.eval(
            member.filter(~member.str.contains(f'^"(?:{"|".join(_OF_IDENTITY)})":')).sort()
        ),
    )
    fields = read.select(
        synthetic=~pl.col("members").list.eval(member.str.starts_with('"click_id":')).list.any(),
        country=_joined(member.str.starts_with('"country":')),
        others=_joined(~member.str.contains('^"(?:country|click_id)":')),
    )
    return fields, read["plain"] & read["once"]


def _joined(wanted: pl.Expr) -> pl.Expr:
    return pl.col("members").list.eval(pl.element().filter(wanted)).list.join("\n")


def _read(text: str) -> tuple[bool, str, str]:
    """Read one click; the same as the columns do."""
    fields: dict[str, Any] = json.loads(text, parse_int=_Number, parse_float=_Number)
    members = {name: f"{_spelled(name)}:{_spelled(value)}" for name, value in fields.items()}
    others = sorted(member for name, member in members.items() if name not in _KNOWN)
    country = "" if fields.get("country") is None else members["country"]
    return fields.get("click_id") is None, country, "\n".join(others)


class _Number(str):
    """A number as it is written."""


def _spelled(value: Any) -> str:
    """Spell a JSON value in one way, whatever its spelling was."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_spelled(name)}:{_spelled(inner)}" for name, inner in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spelled, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
