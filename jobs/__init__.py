"""The Flink jobs: one file each, read top to bottom as its dataflow."""
