#!/bin/sh
# build.sh SOURCE… OUTPUT, in the plugin's folder: compiles a plugin with the SDK into a core module, of which `baton plugin
# build` makes a component. The compiler is $WASM_CC, such as
#   WASM_CC="clang-19 --target=wasm32-wasi --sysroot=/usr -fuse-ld=/usr/bin/wasm-ld-19"
# or zig's, which comes from PyPI into .venv in that folder, once, unless python3 has it.
set -eu
sdk=$(cd "$(dirname "$0")" && pwd)
if [ -z "${WASM_CC:-}" ]; then
    if ! python3 -c 'import ziglang' 2>/dev/null; then
        [ -x .venv/bin/python3 ] || { python3 -m venv .venv && .venv/bin/pip install --quiet ziglang==0.17.1; }
        PATH="$PWD/.venv/bin:$PATH"
    fi
    WASM_CC="python3 -m ziglang cc -target wasm32-wasi"
fi
for output; do :; done
mkdir -p "$(dirname "$output")"
sources=
while [ $# -gt 1 ]; do sources="$sources $1"; shift; done
# shellcheck disable=SC2086 # lists of words
$WASM_CC -std=c11 -Os -Wall -Wextra -mexec-model=reactor -I"$sdk/include" $sources "$sdk"/src/*.c "$sdk/bindings/baton_raw.c" \
    -Wl,--strip-debug,-z,stack-size=262144 -o "$output"
