#!/usr/bin/env bash
# Real clients against servers of a program: run.sh MINILM [ARGUMENT of pytest]...
#
# Needs Python 3.11 or later with pip 22.3 or later. What requirements.txt names goes to a virtual environment in
# $MINILM_CLIENTS_VENV (by default target/clients-venv), which is made once for each version of it. The model is what the program takes by
# default, from wherever it finds it, or $MODEL_ID, a name or a directory.
set -euo pipefail
program=$(realpath -- "${1:?the program to be tested}")
shift
cd "$(dirname "$0")/../.."
venv=${MINILM_CLIENTS_VENV:-target/clients-venv}
here=tests/clients

# Without pip of its own, as Debian's python3 comes without ensurepip.
versions=$(python3 --version && cat "$here/requirements.txt" "$here/constraints.txt")
if ! cmp --silent "$venv/versions" - <<<"$versions"; then
    rm -rf "$venv"
    python3 -m venv --without-pip "$venv"
    # Most modules of these packages are never imported: those that are, are compiled then.
    python3 -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --no-input \
        --root-user-action ignore --only-binary :all: --no-compile --requirement "$here/requirements.txt"
    echo "$versions" >"$venv/versions"
fi

# Afterwards nothing is asked of a hub.
"$program" pull --quiet ${MODEL_ID:+"$MODEL_ID"} >/dev/null

# Plugins of pytest that come with these packages are of no use here.
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "$venv/bin/python" -m pytest "$here" --minilm "$program" ${MODEL_ID:+--model "$MODEL_ID"} "$@"
