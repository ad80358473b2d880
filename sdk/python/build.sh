#!/bin/sh
# build.sh SOURCE OUTPUT, in the plugin's folder: makes the component. componentize-py comes into .venv there, once, unless
# it is in the PATH.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
if ! command -v componentize-py >/dev/null; then
    [ -x .venv/bin/componentize-py ] || { python3 -m venv .venv && .venv/bin/pip install --quiet componentize-py==0.25.1; }
    PATH="$PWD/.venv/bin:$PATH"
fi
PYTHONPATH="$sdk" python3 -m baton build "$1" -o "$2"
