"""The operators that pack: `udfs.packing.pack`, or another maker of parcels, as a vectorised function of Flink SQL."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
from pyflink.common import Types
from pyflink.table import DataTypes
from pyflink.table.udf import FunctionContext, ScalarFunction, UserDefinedScalarFunctionWrapper, udf

from udfs.bundles import end_at_once
from udfs.packing import RECORD, Packing, Parcel, pack

NO_BUCKET = -1
_ROW = DataTypes.ROW([DataTypes.FIELD("bucket", DataTypes.INT()), DataTypes.FIELD("packed", DataTypes.BYTES())])
PARCELS = Types.ROW_NAMED(["bucket", "packed"], [Types.INT(), Types.PRIMITIVE_ARRAY(Types.BYTE())])
"""Parcels (`udfs.packing`) as a stream."""


def pack_clicks(packing: Packing) -> UserDefinedScalarFunctionWrapper:
    """Return the function that packs clicks (`packer`)."""
    return packer(partial(pack, packing=packing))


def packer(pack: Callable[[pl.DataFrame], Iterable[Parcel]]) -> UserDefinedScalarFunctionWrapper:
    """Return the function `pack(key, value, partition, offset, timestamp) -> ROW(bucket, packed)`; timestamp: epoch ms.

    `pack` makes parcels of a batch of records (schema `RECORD`).

    Of a batch as many rows come out as went in: first the parcels, each of at least one record, so that there is room;
    the rows after them have `NO_BUCKET`.
    """
    return udf(_Packer(pack), result_type=_ROW, func_type="pandas")


class _Packer(ScalarFunction):  # type: ignore[misc]
    def __init__(self, pack: Callable[[pl.DataFrame], Iterable[Parcel]]) -> None:
        self._pack = pack

    def open(self, function_context: FunctionContext) -> None:
        end_at_once()

    def is_deterministic(self) -> bool:
        """Say that it is not, though it is.

        The planner evaluates a deterministic function once for each use of its result, with other batch boundaries, and
        clicks would be lost between the two.
        """
        return False

    def eval(self, *columns: pd.Series) -> pd.DataFrame:
        values = (column.to_numpy() if column.dtype.kind == "i" else column.tolist() for column in columns)
        records = pl.DataFrame([pl.Series(*of) for of in zip(RECORD, values, RECORD.values(), strict=True)])
        buckets, packed = np.full(len(records), NO_BUCKET, np.int32), np.full(len(records), None, object)
        for row, parcel in enumerate(self._pack(records)):
            buckets[row], packed[row] = parcel.bucket, parcel.packed
        return pd.DataFrame({"bucket": buckets, "packed": packed})
