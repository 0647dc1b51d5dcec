"""The vectorised function of Flink SQL that reads clicks: whose they are, and in which window."""

import numpy as np
import pandas as pd
import polars as pl
from pyflink.table import DataTypes
from pyflink.table.udf import UserDefinedScalarFunctionWrapper, udf

from udfs.batches import judge_batch
from udfs.blocklist import Blocklist

NO_CLICK = -1
"""The window's start of what is no click, or is filtered."""

_CLICK = DataTypes.ROW(
    [
        DataTypes.FIELD("high", DataTypes.BIGINT()),
        DataTypes.FIELD("low", DataTypes.BIGINT()),
        DataTypes.FIELD("window_start", DataTypes.BIGINT()),
        DataTypes.FIELD("ad_id", DataTypes.STRING()),
    ]
)


def identify_clicks(
    window: int, max_clock_skew: int, blocklist: Blocklist | None = None
) -> UserDefinedScalarFunctionWrapper:
    """Return the function `identify(value, timestamp) -> ROW(high, low, window_start, ad_id)`; all times in ms.

    `high` and `low` are the halves of the click's identity. It is declared as not deterministic, though it is, because
    the planner evaluates a deterministic function once for each use of its result.
    """

    def identify_batch(values: pd.Series, timestamps: pd.Series | int) -> pd.DataFrame:
        """Take a constant timestamp as the number that Flink makes of it."""
        arrivals = np.broadcast_to(np.asarray(timestamps, np.int64), len(values))
        records = pl.DataFrame(
            [pl.Series("value", values.tolist(), pl.Binary), pl.Series("timestamp", arrivals, pl.Int64)]
        )
        clicks = judge_batch(records, max_clock_skew, blocklist)
        identities = b"".join(clicks["identity"].fill_null(bytes(16)).to_list())
        halves = np.frombuffer(identities, ">i8").astype(np.int64).reshape(-1, 2)
        starts = (clicks["click_timestamp"] // window * window).fill_null(NO_CLICK)
        return pd.DataFrame(
            {
                "high": halves[:, 0],
                "low": halves[:, 1],
                "window_start": starts.to_numpy(),
                "ad_id": clicks["ad_id"].fill_null("").to_list(),
            }
        )

    return udf(identify_batch, result_type=_CLICK, func_type="pandas", deterministic=False)
