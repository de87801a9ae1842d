#!/usr/bin/env bash
# musl.sh FOLDER [aarch64]: makes a CPython 3.13 that runs with musl, for x86-64 or (under QEMU) for ARM64; FOLDER/bin/python3.13
# is its `python`.
#
# The interpreter and its extension modules are those that the wheel freeze-core carries on PyPI, in a program for frozen
# applications: musl.c gives that Python's own command line. The rest of the standard library, zlib and musl are Debian's.
# PYTHON is a Python that has Zig, the compiler (`make .venv/wheel`).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
machine=${2:-x86_64}
case $machine in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) echo "no such machine: $machine" >&2 && exit 1 ;;
esac
python=${PYTHON:-$here/../../.venv/bin/python}
"$python" -m ziglang version > /dev/null
[ -e "$1/debian/usr/lib/python3.13" ] || "$here/debian.sh" "$1/debian" trixie libpython3.13-stdlib python3-pip-whl
[ -e "$1/musl/usr/lib" ] || ARCHITECTURE=$architecture "$here/debian.sh" "$1/musl" trixie musl
to=$(cd "$1" && pwd)
library=$to/lib/python3.13
rm -rf "$to"/{bin,lib,wheel}
mkdir -p "$to"/{bin,lib,wheel}
cp -r "$to/debian/usr/lib/python3.13" "$library"
rm -rf "$library"/{lib-dynload,config-*,_sysconfig*,sitecustomize.py,EXTERNALLY-MANAGED}

"$python" -m pip --quiet download --no-deps --only-binary=:all: --platform "musllinux_1_2_$machine" --python-version 3.13 \
    --implementation cp --abi cp313 --dest "$to/wheel" freeze-core==0.8.1
"$python" -m zipfile --extract "$to"/wheel/freeze_core-*.whl "$to/wheel"
mv "$to/wheel/freeze_core/lib" "$library/lib-dynload"
mv "$to/wheel/freeze_core.libs" "$to/lib"
mv "$to/wheel/freeze_core/bases/console-cpython-313-$machine-linux-musl" "$to/bin/python3.13"
"$python" -m zipfile --extract "$to"/debian/usr/share/python-wheels/pip-*.whl "$library/site-packages"
cat > "$library/_sysconfigdata__linux_$machine-linux-musl.py" << P
build_time_vars = {
    "EXT_SUFFIX": ".cpython-313-$machine-linux-musl.so",
    "MULTIARCH": "$machine-linux-musl",
    "Py_GIL_DISABLED": 0,
    "SOABI": "cpython-313-$machine-linux-musl",
}
P

cc() { "$python" -m ziglang cc -target "$machine-linux-musl" -O1 -shared -fPIC -Wall "$@"; }
cc "$here/musl.c" -o "$to/lib/libpython-main.so"
# Wheels for musl expect the system's zlib.
(cd "$to" && APT_CONFIG=$to/debian/apt/apt.conf apt-get --quiet --quiet source --tar-only zlib && tar --extract --file zlib_*.orig.tar.gz)
cc -D_LARGEFILE64_SOURCE -DHAVE_UNISTD_H "$to"/zlib-*/*.c -o "$to/lib/freeze_core.libs/libz.so.1"
chmod +x "$to/bin/python3.13"
patchelf --add-needed libpython-main.so --force-rpath --set-rpath "$to/lib:$to/lib/freeze_core.libs" \
    --set-interpreter "$to/musl/lib/ld-musl-$machine.so.1" "$to/bin/python3.13"
rm -r "$to/wheel" "$to"/zlib*
ln -s python3.13 "$to/bin/python"
