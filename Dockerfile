# One image for the service, the worker and the migration; the command chooses. It also holds the binaries of the
# embedded PostgreSQL, so that `docker run` alone is a whole service with its data in the volume.

FROM python:3.11-slim AS build
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore uv==0.13.9
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
WORKDIR /build
# What changes seldom comes first: a change of our code leaves this layer as it is.
COPY requirements.lock ./
RUN uv venv /opt/tessera \
 && uv pip install --python /opt/tessera/bin/python --require-hashes --compile-bytecode -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY app ./app
COPY migrations ./migrations
RUN uv pip install --python /opt/tessera/bin/python --no-deps --compile-bytecode .

FROM python:3.11-slim
# Debian's own time zones are old or missing in slim images; the locked package tzdata is what Python reads then.
RUN useradd --system --uid 10001 --home-dir /var/lib/tessera --shell /usr/sbin/nologin tessera \
 && install --directory --owner tessera --group tessera --mode 0700 /var/lib/tessera
COPY --from=build /opt/tessera /opt/tessera
ENV PATH=/opt/tessera/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TESSERA_HOME=/var/lib/tessera
USER tessera
WORKDIR /var/lib/tessera
VOLUME /var/lib/tessera
EXPOSE 8000
# SIGTERM stops it in order: requests, jobs, then the embedded database.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["tessera"]
CMD ["serve", "--host", "0.0.0.0"]
