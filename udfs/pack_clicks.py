"""The operator that packs: `udfs.packing.pack` as a vectorised function of Flink SQL."""

import pandas as pd
import polars as pl
from pyflink.table import DataTypes
from pyflink.table.udf import UserDefinedScalarFunctionWrapper, udf

from udfs.packing import RECORD, Packing, pack

_ROW = DataTypes.ROW(
    [
        DataTypes.FIELD("bucket", DataTypes.INT()),
        DataTypes.FIELD("packed", DataTypes.BYTES()),
        DataTypes.FIELD("reason", DataTypes.STRING()),
        DataTypes.FIELD("timestamp", DataTypes.BIGINT()),
    ]
)


def pack_clicks(packing: Packing) -> UserDefinedScalarFunctionWrapper:
    """Return the function `pack(key, value, partition, offset, timestamp) -> ROW`.

    It is declared as not deterministic, though it is, because the planner evaluates a deterministic function once for
    each use of its result, with other batch boundaries, and clicks would be lost between the two.
    """

    def pack_batch(*columns: pd.Series) -> pd.DataFrame:
        records = pl.DataFrame(
            [_column(name, column) for (name, _), column in zip(RECORD.items(), columns, strict=True)]
        ).cast(RECORD)
        packed = pack(records, packing).with_columns(records["timestamp"])
        return pd.DataFrame({name: packed[name].to_list() for name in packed.columns})

    return udf(pack_batch, result_type=_ROW, func_type="pandas", deterministic=False)


def _column(name: str, column: pd.Series) -> pl.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return pl.Series(name, column.to_numpy("datetime64[ms]")).cast(pl.Int64)
    if column.dtype == object:
        return pl.Series(name, column.tolist(), dtype=pl.Binary)
    return pl.Series(name, column.to_numpy())
