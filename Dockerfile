# The worker and the commands of operators. Servers to play with (the extra of that name) stay outside.

FROM python:3.13-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/collector
# LOCK=run-otel: with traces.
ARG LOCK=run
COPY requirements/build.txt requirements/run.txt requirements/run-otel.txt requirements/
# Wheels only, each checked against its hash: building something would fetch what no lock holds.
RUN /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt \
    && /opt/build/bin/pip --python /opt/collector/bin/python install \
        --require-hashes --only-binary :all: -r requirements/$LOCK.txt
COPY pyproject.toml README.md ./
COPY collectors collectors
COPY worker worker
COPY migrations migrations
COPY sandbox sandbox
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/build/bin/pip --python /opt/collector/bin/python install --no-deps dist/*.whl

FROM python:3.13-slim
# A fixed number, so that volumes and Kubernetes' runAsUser can name it.
RUN groupadd --gid 10001 collector && useradd --uid 10001 --gid 10001 --create-home collector
COPY --from=builder /opt/collector /opt/collector
ENV PATH=/opt/collector/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 COLLECTOR_HTTP_ADDRESS=0.0.0.0:9464
EXPOSE 9464
WORKDIR /home/collector
USER 10001:10001
STOPSIGNAL SIGTERM
# By /healthz: the file that `collector worker --check` looks at says as much, but reading it takes a second of CPU.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-m", "worker.alive"]
ENTRYPOINT ["collector"]
CMD ["worker"]
