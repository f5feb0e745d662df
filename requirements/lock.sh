#!/bin/sh
# Writes the lock files from pyproject.toml: for every platform and Python that pyproject.toml allows, with the hashes
# of the public index. What is locked already stays as it is; `make lock UPGRADE=--upgrade` takes the newest of all.
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo 'uv is not installed; install it (pipx install uv) and run make lock again.' >&2; exit 1; }

lock() {
    output=$1
    shift
    # --no-config and the emptied variables: this machine's own indexes have no place in the lock.
    env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_CONSTRAINT \
        uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        ${UPGRADE:+"$UPGRADE"} --output-file "requirements/$output" "$@"
}

lock dev.txt pyproject.toml requirements/build.in --constraint requirements/constraints.txt \
    --extra embedded --extra infisical --extra otel --group pyproject.toml:dev
# What the image is built with and what runs in it: the versions that were tested, fewer of them.
lock build.txt requirements/build.in --constraint requirements/dev.txt
lock run.txt pyproject.toml --extra infisical --constraint requirements/dev.txt
lock run-otel.txt pyproject.toml --extra infisical --extra otel --constraint requirements/dev.txt
# What `make bench` installs beside dev.txt.
lock bench.txt --group pyproject.toml:bench --constraint requirements/dev.txt
