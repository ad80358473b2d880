#!/usr/bin/env bash
# Prints what the built components were made from, and what they are: lines of `sha256  path`, paths from the top of the
# repository. A test compares it with what is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
{
    git ls-files --cached --others --exclude-standard sdk/script/{Cargo.toml,Cargo.lock,build.sh,prelude.js,stack.h,src,wit} \
        sdk/script/strip/{Cargo.toml,Cargo.lock,src}
    printf '%s\n' host/hooks/assets/script.wasm host/hooks/assets/strip.wasm
} | LC_ALL=C sort | xargs sha256sum
