# One image for each service: `docker build --build-arg SERVICE=election -f deploy/docker/service.Dockerfile .`
#
# SERVICE is the folder under services/ to run. PACKAGE is the distribution to install, if it is not
# the service's own: `folkmoot` brings the command and the demo's agents too.
ARG PYTHON_IMAGE=python:3.13-slim

# Python's own modules, compiled: its image brings only their sources, and a container that may not
# write would compile them again at each start and each health check.
FROM ${PYTHON_IMAGE} AS python
RUN python -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|turtledemo|site-packages|dist-packages)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

FROM python AS build
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir --root-user-action=ignore "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
ARG SERVICE
ARG PACKAGE=folkmoot-${SERVICE}

# What others wrote, as locked with its hashes: this layer changes only when the lock does.
RUN --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=uv.lock,target=/src/uv.lock \
    --mount=type=bind,source=pyproject.toml,target=/src/pyproject.toml \
    uv sync --frozen --no-dev --no-install-workspace --package "${PACKAGE}"

# What we wrote.
COPY pyproject.toml uv.lock ./
COPY libs libs
COPY services services
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-dev --no-editable --package "${PACKAGE}" \
 && ln -s "folkmoot-${SERVICE}" /opt/venv/bin/folkmoot-service \
 && install -d /opt/data

FROM python
COPY --from=build /opt/venv /opt/venv
# A volume mounted here belongs to the service's user, as this folder does.
COPY --from=build --chown=10001:10001 /opt/data /var/lib/folkmoot
ENV PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FOLKMOOT_HTTP_HOST=0.0.0.0 \
    FOLKMOOT_HTTP_PORT=8700
USER 10001:10001
WORKDIR /var/lib/folkmoot
EXPOSE 8700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=9 \
    CMD ["python", "-m", "folkmoot.runtime.probe", "ready"]
CMD ["folkmoot-service"]
