"""What PyFlink does to a stream by a crossing into Python, done without."""

from pyflink.common.typeinfo import RowTypeInfo, Types
from pyflink.datastream import DataStream, OutputTag
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


def in_java(decided: DataStream, output: OutputTag) -> DataStream:
    """Return a side output; `DataStream.get_side_output` would send every row to a Python worker and back."""
    return DataStream(decided._j_data_stream.getSideOutput(output.get_java_output_tag()))
