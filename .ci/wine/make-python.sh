#!/usr/bin/env bash
# make-python.sh FOLDER 3.13 PYTHON PIP: makes a CPython for Windows in FOLDER that runs under Wine; FOLDER/run is its `python`.
#
# The interpreter and its extension modules are those that the wheel panda3d carries on PyPI (deploy_libs); the rest of the
# standard library is that of PYTHON, the same minor version on this machine. PIP is a Python that has pip.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1/DLLs"
to=$(cd "$1" && pwd)
minor=$2
tag=${minor/./}
pip=$4
library=$("$3" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')

"$pip" -m pip --quiet download --no-deps --only-binary=:all: --platform win_amd64 --python-version "$minor" --dest "$to" \
    panda3d==1.10.16
"$pip" - "$to"/panda3d-*-win_amd64.whl "$to" <<'P'
import pathlib
import sys
import zipfile

to = pathlib.Path(sys.argv[2])
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for entry in wheel.namelist():
        name = entry.rsplit("/", 1)[-1]
        if "deploy_libs/" not in entry or not name or name.startswith("api-ms-") or "cp313t" in name:
            continue
        top = name.lower().startswith(("python3", "vcruntime"))
        (to / name if top else to / "DLLs" / name).write_bytes(wheel.read(entry))
P
# platform.uname() would ask it, which Wine 8 aborts.
rm -f "$to/DLLs/_wmi.pyd"
rm "$to"/panda3d-*.whl

cp -r "$library" "$to/Lib"
rm -rf "$to/Lib/site-packages" "$to/Lib/lib-dynload" "$to"/Lib/config-* "$to/Lib/test"
mkdir "$to/Lib/site-packages"
# shutil would call it, which Wine 8 aborts as well.
echo "import _winapi; vars(_winapi).pop('CopyFile2', None)" > "$to/Lib/site-packages/wine.pth"

cc=x86_64-w64-mingw32-gcc
$cc -municode -O1 "$here/python.c" -o "$to/python.exe" "$to/python$tag.dll"
$cc -shared -O1 "$here/processprng.c" -o "$to/bcryptprimitives.dll" -ladvapi32
# The DLL of the stable ABI: every name forwarded to the interpreter's own.
{
    printf 'LIBRARY python3\nEXPORTS\n'
    x86_64-w64-mingw32-objdump -p "$to/python$tag.dll" |
        awk '/\[Ordinal\/Name Pointer\] Table/ { table = 1; next } table && NF == 0 { table = 0 } table { print $NF }' |
        sed -E "s/^(.*)$/\1 = python$tag.\1/"
} > "$to/python3.def"
echo 'int DllMain(void *module, unsigned reason, void *reserved) { return 1; }' > "$to/dllmain.c"
$cc -shared -nostdlib -e DllMain -o "$to/python3.dll" "$to/dllmain.c" "$to/python3.def"
rm "$to/python3.def" "$to/dllmain.c"

cat > "$to/run" <<R
#!/usr/bin/env bash
# Output goes through a pipe: Wine's Python does not start with a file for stdout.
set -o pipefail
# New files are for this user alone, as in a profile on Windows: Wine's server gives them the modes of its umask.
umask 077
# Paths of this machine are none of Windows'.
unset SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
export WINEPREFIX=\${WINEPREFIX:-$to/prefix} WINEDEBUG=-all
wine "$to/python.exe" "\$@" 2>&1 | cat
R
chmod +x "$to/run"
"$to/run" -c "import asyncio, ctypes, ssl, sys; print(sys.version, sys.platform)"
