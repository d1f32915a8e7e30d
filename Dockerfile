# The image of the service. `make image` builds it; so do docker compose and Render.
#
# The first stage installs the pinned packages, compiles the kernels for every instruction set and
# runs `bentoml build`. The second holds the bento as BentoML's own image does, without what only
# the build needs.

FROM docker.io/library/python:3.11-slim AS build
WORKDIR /source
# Compiled modules must not contain the time of the build: the same commit gives the same files.
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_NO_PROGRESS=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN apt-get update && apt-get install --yes --no-install-recommends g++
COPY requirements-torch.txt requirements.lock requirements-dev.lock ./
RUN pip install --no-cache-dir --root-user-action=ignore "$(grep -o '^uv==[^ ]*' requirements-dev.lock)"
ENV VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:$PATH
RUN uv venv --python 3.11 /app/.venv && \
    uv pip install --no-deps -r requirements-torch.txt && \
    uv pip install --no-deps --require-hashes -r requirements.lock && \
    cd /app/.venv/lib/python3.11/site-packages && \
    # Tests, headers and tools of the packages: 250 MB that no service uses.
    rm -r torch/test torch/include torch/bin/*test* torch/bin/*Test torch/bin/protoc* && \
    find . -type d -name tests -prune -exec rm -r {} +
COPY . .
# The bento's version and time would change its bento.yaml in every build.
RUN python -m hunyuan_runner.machine.building && \
    mkdir build && cat requirements-torch.txt requirements.lock >build/requirements.txt && \
    BENTOML_HOME=/bentoml BENTOML_DO_NOT_TRACK=True bentoml build --version image && \
    mv /bentoml/bentos/hunyuan-runner/image /bento && \
    sed -i "s/^creation_time:.*/creation_time: '1970-01-01T00:00:00+00:00'/" /bento/bento.yaml

FROM docker.io/library/python:3.11-slim
RUN groupadd --gid 1034 bentoml && useradd --create-home --uid 1034 --gid bentoml bentoml
ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1 VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:$PATH \
    BENTO_PATH=/home/bentoml/bento BENTOML_HOME=/home/bentoml/ BENTOML_CONTAINERIZED=true \
    BENTOML_DO_NOT_TRACK=True HUNYUAN_DATA_DIR=/data HUNYUAN_MODELS_DIR=/data/models
WORKDIR /home/bentoml/bento
COPY docker/prepare-image.sh /tmp/
RUN sh /tmp/prepare-image.sh && rm /tmp/prepare-image.sh
COPY --from=build /app/.venv /app/.venv
COPY --from=build --chown=bentoml:bentoml /bento .
RUN chmod +x env/docker/entrypoint.sh
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s CMD \
    python -I -c "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 3000)}/livez')"
USER bentoml
ENTRYPOINT ["/home/bentoml/bento/env/docker/entrypoint.sh"]
