#!/usr/bin/env bash
# test.sh VERSION LOOP [PYTEST ARGUMENTS...]: runs tests on CPython for Windows under Wine, for instance `test.sh 3.13 proactor`.
#
# Everything goes below target/wine. The PostgreSQL behind the emulator runs on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$1
loop=$2
shift 2
python=$PWD/target/wine/python-$version

lacking=()
command -v wine > /dev/null || lacking+=("wine and wine64 (Debian: wine wine64)")
command -v x86_64-w64-mingw32-gcc > /dev/null || lacking+=("mingw (Debian: gcc-mingw-w64-x86-64)")
command -v "python$version" > /dev/null || lacking+=("python$version, whose standard library is taken")
if [ ${#lacking[@]} -gt 0 ]; then
    printf 'The tests on Windows were not run; they need:\n'
    printf '  %s\n' "${lacking[@]}"
    exit 1
fi

if [ ! -e "$python/ready" ]; then
    rm -rf "$python"
    .ci/wine/make-python.sh "$python" "$version"
    python3 -m pip --quiet install --target "$python/Lib/site-packages" --platform win_amd64 --python-version "$version" \
        --implementation cp --only-binary=:all: --requirement .ci/wine/requirements.txt
    touch "$python/ready"
fi
cp "$(.ci/wine/build.sh)" python/azure_postgresql_auth/_core.pyd
printf 'Z:%s\n' "${PWD//\//\\}\\python" > "$python/Lib/site-packages/package.pth"

export EVENT_LOOP=$loop AZURE_POD_IDENTITY_AUTHORITY_HOST=http://127.0.0.1:9
exec .venv/bin/python .ci/wine/postgresql.py "$python/run" -m pytest -p no:cacheprovider "$@"
