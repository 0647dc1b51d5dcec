# syntax=docker/dockerfile:1
# Flink with Clickproof: JobManager, TaskManager, `flink run` and the command line `clickproof`, all from one image.
# amd64 alone: PyFlink's native dependencies come as wheels for it (docs/adr/0012-image-and-packaging.md).
ARG FLINK_IMAGE=flink:2.3.0-scala_2.12-java17

FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM maven:3.9.9-eclipse-temurin-17 AS jars
WORKDIR /build
COPY flink-conf/pom.xml flink-conf/
RUN mvn --batch-mode --file flink-conf/pom.xml dependency:copy@flink-connectors

# The Python environment of the lock, at the path that it keeps.
FROM ${FLINK_IMAGE} AS python
# hadolint ignore=DL3002
USER 0
COPY --from=uv /uv /usr/local/bin/
WORKDIR /build
COPY pyproject.toml uv.lock README.md ./
COPY jobs/ jobs/
COPY udfs/ udfs/
COPY ingest/ ingest/
COPY audit/ audit/
COPY serving/ serving/
COPY local/ local/
COPY flink-conf/ flink-conf/
COPY deploy/image/ deploy/image/
ENV UV_PYTHON_INSTALL_DIR=/opt/clickproof/python UV_PYTHON=3.11.18
RUN deploy/image/install.sh /opt/clickproof "$FLINK_HOME"

FROM ${FLINK_IMAGE}
LABEL org.opencontainers.image.title="clickproof" \
      org.opencontainers.image.description="Exact ad-click counts, with proof"
COPY --from=python /opt/clickproof /opt/clickproof
COPY --from=jars --chown=flink:flink /build/build/jars/flink/ /opt/flink/lib/
COPY --chown=flink:flink flink-conf/config.yaml flink-conf/log4j-cli.properties flink-conf/log4j-console.properties /opt/flink/conf/
COPY deploy/image/configure.sh /opt/clickproof/
# `flink` of the base image, by number, as Kubernetes wants it to see that it is not root.
USER 9999
RUN /opt/clickproof/configure.sh "$FLINK_HOME"
ENV PATH=/opt/clickproof/venv/bin:$PATH \
    CLICKPROOF_LOCAL_INSTALLATION=/opt/clickproof \
    CLICKPROOF_LOCAL_HOME=/tmp/clickproof \
    NUMBA_CACHE_DIR=/opt/clickproof/compiled \
    PYTHONDONTWRITEBYTECODE=1
# Python workers keep the memory of a batch for the next one (local/cluster.py); glibc's part is the base image's jemalloc.
ENV _RJEM_MALLOC_CONF=background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1 \
    ARROW_DEFAULT_MEMORY_POOL=system
