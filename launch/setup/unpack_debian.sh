#!/usr/bin/env bash
# Debian packages without root: downloaded with all that they depend on, and unpacked below third_party/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

usage() {
  cat <<'EOF2'
launch/setup/unpack_debian.sh PACKAGE...
  third_party/debian   the packages and all that they depend on, as they would lie below /
  third_party/bin      their compilers, cmake, ninja and mpirun, ready to be called
  third_party/env.sh   to be sourced by who calls these by hand; the launchers source it themselves
What was unpacked before is replaced. The paths are absolute: a clone that moved is set up anew.
EOF2
}

case ${1:-} in
  -h | --help) usage && exit ;;
  '' | -*) usage >&2 && exit "$exit_usage" ;;
esac

place=$root/third_party
debian=$place/debian bin=$place/bin env=$place/env.sh
download=$place/download
readonly place debian bin env download

# apt-get with a state of its own, in which nothing is installed: what comes is complete whatever the machine has.
apt() {
  apt-get -qq -o Dir::State="$download" -o Dir::State::status="$download/status" -o Dir::Cache="$download" \
    -o Debug::NoLocking=yes "$@" >&2
}

download_packages() {
  rm -rf "$download"
  mkdir -p "$download"/{lists,archives}/partial
  touch "$download/status"
  apt update || say "apt-get could not read all of its sources; going on with the others"
  apt install --download-only --no-install-recommends --yes "$@"
}

# The C library is the machine's own, which fits the machine's loader: it is linked to, not unpacked.
unpack_packages() {
  local package folder
  rm -rf "$debian"
  for folder in bin sbin lib lib64; do # links, as in every Debian from 12
    mkdir -p "$debian/usr/$folder"
    ln -s "usr/$folder" "$debian/$folder"
  done
  for package in "$download"/archives/*.deb; do
    if [[ $package == */libc6_* ]]; then continue; fi
    dpkg-deb --fsys-tarfile "$package" |
      tar -x --keep-directory-symlink -C "$debian" --exclude='./usr/share/'{doc,man,locale}
  done
  libraries=$(dirname "$(find "$debian/usr/lib" -name libmpi.so.40 -print -quit)")
  correct_links
  link_c_library
  sed -i "s|'WHEEL_PKG_DIR': '|&$debian|" "$debian"/usr/lib/python3*/_sysconfigdata_*.py # where venv finds pip
}

# Absolute links, and the one that update-alternatives would set for a library.
correct_links() {
  local link target
  find "$debian" -type l -lname '/*' -printf '%p\t%l\n' |
    while IFS=$'\t' read -r link target; do ln -sfn "$debian$target" "$link"; done
  for target in "$debian"/usr/lib/libpsm1/libpsm_infinipath.so.1.*; do
    if [[ -e $target ]]; then ln -sfn "$target" "$libraries/libpsm_infinipath.so.1"; fi
  done
}

link_c_library() {
  local file
  dpkg-deb --fsys-tarfile "$download"/archives/libc6_*.deb | tar -t |
    grep -E '^\./(usr/)?lib(64)?/([^/]+-linux-gnu[^/]*/)?[^/]+\.so[^/]*$' |
    while read -r file; do ln -sfn "${file#.}" "$debian/$file"; done
}

# Open MPI and PMIx are told where they lie, and where Debian's defaults are, which leave out transports that fail on
# most machines.
write_env() {
  cat <<EOF2
# Debian's packages below third_party/, for a shell that calls mpirun, cmake or a compiler by hand.
# Written by launch/setup/unpack_debian.sh.
case ":\${LD_LIBRARY_PATH:-}:" in
  *":$libraries:"*) ;;
  *)
    export PATH="$bin:\$PATH"
    export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
    export CMAKE_PREFIX_PATH="$debian/usr\${CMAKE_PREFIX_PATH:+:\$CMAKE_PREFIX_PATH}"
    ;;
esac
export OPAL_PREFIX="$debian/usr"
export PMIX_LIBDIR="$libraries/pmix2/lib" PMIX_DATADIR="$libraries/pmix2/share"
export OMPI_MCA_mca_base_param_files="$debian/etc/openmpi/openmpi-mca-params.conf"
export OMPI_MCA_orte_launch_agent="$bin/orted"
export WNSEARCHDIR="\${WNSEARCHDIR:-$debian/usr/share/wordnet}"
EOF2
}

# wrap NAME COMMAND...: third_party/bin/NAME runs the command in that environment, whoever calls it.
wrap() {
  local name=$1
  shift
  printf '#!/bin/sh\n. %q\nexec %s "$@"\n' "$env" "${*@Q}" >"$bin/$name"
  chmod +x "$bin/$name"
}

# The compilers see nothing but $debian. Open MPI does not start without ssh, even on one machine; ssh and Python
# are the machine's own where it has them.
write_commands() {
  local name compiler
  rm -rf "$bin"
  mkdir "$bin"
  for name in ar as cmake ctest ld nm ninja objcopy objdump orted ranlib readelf strip; do
    wrap "$name" "$debian/usr/bin/$name"
  done
  for name in mpirun mpiexec; do wrap "$name" "$debian/usr/bin/orterun"; done
  wrap mpicc "$debian/usr/bin/mpicc.openmpi"
  command -v ssh >/dev/null || wrap ssh "$debian/usr/bin/ssh"
  for name in gcc:gcc cc:gcc g++:g++ c++:g++; do
    compiler=$debian/usr/bin/${name#*:}
    wrap "${name%:*}" "$compiler" "--sysroot=$debian" "-B$bin"
  done
  "${PYTHON:-python3}" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    wrap python3 "$debian/usr/bin/python3"
}

{ command -v apt-get && command -v dpkg-deb; } >/dev/null ||
  die "$exit_environment" "there is no apt-get or no dpkg-deb here, so that Debian's packages cannot be unpacked."
say "downloading and unpacking Debian packages into third_party/ (170 MB, unpacked 0.7 GB): $*"
download_packages "$@"
rm -f "$env"
unpack_packages
write_commands
write_env >"$env"
rm -rf "$download"
