#!/usr/bin/env bash
# install.sh TARGET FLINK: the locked environment with the project's wheel in TARGET/venv, on the Flink distribution in
# the folder FLINK, and beside it what `clickproof` looks for. Runs in the project's folder; needs uv and Python 3.11.
set -euo pipefail
target=$1 flink=$2

# Every package as uv.lock pins it, by its hash; the project itself as a wheel.
UV_PROJECT_ENVIRONMENT=$target/venv UV_LINK_MODE=copy uv sync --frozen --no-dev --no-editable --compile-bytecode

# What the job compiles (udfs/compiled.py), so that no worker has to when it starts.
NUMBA_CACHE_DIR=$target/compiled "$target/venv/bin/python" -c 'from udfs import identity_table, plain_columns, turns; plain_columns.compile_now(); identity_table.compile_now(); turns.compile_now()'

# One Flink, not two: where the packages of PyFlink bring a distribution of their own, FLINK takes its place.
pyflink=$("$target/venv/bin/python" -c 'import importlib.util as i; print(i.find_spec("pyflink").submodule_search_locations[0])')
for part in bin lib opt plugins; do
  rm -rf "${pyflink:?}/$part"
  ln -s "$flink/$part" "$pyflink/$part"
done

# The programs, at a path without Python's version in it; the configuration of a cluster on the loopback interface.
ln -s "$(dirname "$pyflink")/jobs" "$target/jobs"
mkdir -p "$target/flink-conf" "$target/build/jars"
cp flink-conf/config.yaml flink-conf/log4j-*.properties "$target/flink-conf/"
ln -s "$flink/lib" "$target/build/jars/flink"
