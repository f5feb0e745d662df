#!/bin/sh
# Makes .venv with everything that the demo and the tests need, each file checked against the lock's hashes.
set -eu
cd "$(dirname "$0")/.."
locked=requirements/dev.txt
total=$(grep -c '^[a-z0-9]' "$locked")

suits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in "${PYTHON:-python3.13}" python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null && suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo 'No Python 3.11 or newer with its venv module was found: install one (on Debian and Ubuntu: apt install python3-venv) or name it with make PYTHON=/path/to/python3.' >&2
    return 1
}

# Wheels only: building something would fetch what no lock holds. The project itself is built by the locked hatchling.
install_locked() {
    if command -v uv >/dev/null; then
        uv pip install --python .venv/bin/python --require-hashes --only-binary :all: --requirement "$locked"
        uv pip install --python .venv/bin/python --no-deps --no-build-isolation --editable .
    else
        set -- .venv/bin/python -m pip --disable-pip-version-check --no-input install
        "$@" --require-hashes --only-binary :all: --requirement "$locked"
        "$@" --no-deps --no-build-isolation --editable .
    fi
}

python=$(find_python)
echo "Setting up .venv: $("$python" --version), $total locked packages; this takes about a minute the first time."
"$python" -m venv --clear .venv
(install_locked) >.venv/install.log 2>&1 &
installing=$!
trap 'kill "$installing" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
while [ -t 1 ] && kill -0 "$installing" 2>/dev/null; do
    collected=$(grep -c '^Collecting ' .venv/install.log) || true
    printf '\r  %d of %d ' "$collected" "$total"
    sleep 1
done
[ ! -t 1 ] || printf '\r                    \r'
if ! wait "$installing"; then
    tail -n 15 .venv/install.log >&2
    echo 'The locked packages could not be installed: the lines above say why, all of it is in .venv/install.log.' >&2
    exit 1
fi
trap - EXIT
