#!/usr/bin/env bash
# Builds the two components of scripted policies and puts them, with a record of what they were made from, where the
# relay takes them from: host/hooks/assets. `make script` runs it, after `.ci/setup script`.
set -euo pipefail
cd "$(dirname "$0")"

assets=../../host/hooks/assets
host=${CARGO_TARGET_DIR:?is set by the Makefile}
guests=$host/script
clang=$(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -V | tail -n 1)

(
    export CARGO_TARGET_DIR=$guests
    # No path of this machine gets into what is checked in.
    export RUSTFLAGS="--remap-path-prefix=$HOME=~ --remap-path-prefix=$(cd ../.. && pwd)=baton"
    export RQUICKJS_SYS_NO_WASI_SDK=1 CC_wasm32_wasip2=$clang AR_wasm32_wasip2=llvm-ar-${clang#clang-}
    export CFLAGS_wasm32_wasip2="--sysroot=/usr -isystem /usr/include/wasm32-wasi -include $PWD/stack.h -ffile-prefix-map=$HOME=~"
    cargo build --locked --release --target wasm32-wasip2
    cargo build --locked --release --target wasm32-wasip2 --manifest-path strip/Cargo.toml
)

mkdir -p "$assets"
cp "$guests/wasm32-wasip2/release/baton_script_strip.wasm" "$assets/strip.wasm"
# The relay's own engine runs what needs no script, and keeps the memory as it is then.
[ -e "$assets/script.wasm" ] || cp "$guests/wasm32-wasip2/release/baton_script.wasm" "$assets/script.wasm"
(cd ../.. && cargo build --workspace --example prepare_interpreter)
"$host/debug/examples/prepare_interpreter" "$guests/wasm32-wasip2/release/baton_script.wasm" "$assets/script.wasm"
./record.sh > "$assets/SHA256"
ls -l "$assets"
