#!/usr/bin/env bash
# configure.sh FLINK: makes the Flink distribution in the folder FLINK, with the project's configuration and jars in it,
# one that runs Clickproof's jobs in a container.
set -euo pipefail
flink=$1

# Loaded from here, flink-python stays in memory once; shipped with each job, 31 MB of metaspace for each start.
ln -sf "$flink"/opt/flink-python-*.jar "$flink/lib/"
# The one S3 file system that Flink can also write the archive's files to.
if compgen -G "$flink/opt/flink-s3-fs-hadoop-*.jar" > /dev/null; then
  mkdir -p "$flink/plugins/s3-fs-hadoop"
  ln -sf "$flink"/opt/flink-s3-fs-hadoop-*.jar "$flink/plugins/s3-fs-hadoop/"
fi
# Where volumes are mounted, with this user's rights.
mkdir -p "$flink/checkpoints" "$flink/savepoints" "$flink/archive" "$flink/state"

# A container's network is its own: Flink listens in it, and a TaskManager is known by its own name.
"$flink/bin/config-parser-utils.sh" "$flink/conf" "$flink/bin" "$flink/lib" \
  -repKV rest.bind-address,localhost,0.0.0.0 \
  -repKV jobmanager.bind-host,localhost,0.0.0.0 \
  -repKV taskmanager.bind-host,localhost,0.0.0.0 \
  -rmKV taskmanager.host=localhost \
  -Dclassloader.resolve-order=parent-first
