"""Keying a stream by its first field, without a crossing into Python."""

from pyflink.common.typeinfo import RowTypeInfo, Types
from pyflink.datastream import DataStream
from pyflink.datastream.data_stream import KeyedStream
from pyflink.java_gateway import get_gateway


def keyed(pairs: DataStream, type_: RowTypeInfo) -> KeyedStream:
    """Key a stream of rows (key, value); what processes it is given the value.

    `DataStream.key_by` would send every row to a Python worker and back, to have it return the row's first field.
    PyFlink's own keyed streams are such pairs, keyed by this selector.
    """
    key, value = type_.get_field_types()
    selector = get_gateway().jvm.KeyByKeySelector()
    j_keyed = pairs._j_data_stream.keyBy(selector, Types.ROW([key]).get_java_type_info())
    return KeyedStream(j_keyed, value, pairs)
