#!/usr/bin/env bash
# build.sh: builds the extension for Windows in the profile that builds quickly, and prints the path of its DLL.
#
# With a standard library for the target (`rustup target add x86_64-pc-windows-gnu`), else with one built from the sources
# that Debian's package rust-web-src has.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=x86_64-pc-windows-gnu
export PYO3_CROSS=1 CARGO_TARGET_DIR=$PWD/target/wine/build
cargo=cargo
if ! compgen -G "$(rustc --print target-libdir --target $target)/libstd-*" > /dev/null; then
    if [ ! -e "$(/usr/bin/rustc --print sysroot 2> /dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
        echo "There is no Rust standard library for $target: rustup target add $target (Debian: rustc-web cargo-web rust-web-src)" >&2
        exit 1
    fi
    cargo=/usr/bin/cargo
    export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_unwind
fi
$cargo build --locked --lib --quiet --target $target >&2
echo "$CARGO_TARGET_DIR/$target/debug/_core.dll"
