# syntax=docker/dockerfile:1
# The image of every process: docker build -t sla-clocks:0.2.0 . ; its argument is a command, for example `sla worker`.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies change less often than the code: a layer of their own, every file checked against its hash.
COPY deploy/image/requirements.lock ./
# With SOURCE_DATE_EPOCH bytecode is checked by the hash of its source, not by times that differ in every build.
RUN python -m venv /opt/sla \
 && SOURCE_DATE_EPOCH=0 /opt/sla/bin/pip install --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY agents agents
COPY bench bench
COPY board board
COPY cli cli
COPY connect connect
COPY examples examples
COPY policies policies
COPY schemas schemas
COPY streams streams
ARG SOURCE_DATE_EPOCH=0
RUN /opt/sla/bin/pip install --no-deps --no-build-isolation . \
 && /opt/sla/bin/sla policy show scalr-emergency > /dev/null \
 && /opt/sla/bin/pip list --format json > /opt/sla/packages.json \
 && /opt/sla/bin/pip uninstall --yes pip setuptools

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="sla-clocks" \
      org.opencontainers.image.description="SLA clocks and service credits on Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin sla
COPY --from=build /opt/sla /opt/sla
# Bytecode was compiled by pip; nothing is written but what settings name, so the root may be read-only.
ENV PATH=/opt/sla/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SLA_LOG_FORMAT=json
USER 10001:10001
WORKDIR /tmp
# For plain Docker; on Kubernetes probes ask each process. HEALTH names the port of /live.
ENV HEALTH=8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['HEALTH']}/live\", timeout=2)"]
CMD ["sla", "--help"]
