#!/bin/bash
# room.sh FOLDER COMMAND...: the command as the user nobody, who cannot become root, on this machine without what
# launch/setup.sh installs. FOLDER is that user's home. Wants root; exit 77 where there can be no such room.
set -euo pipefail

skip() { echo "SKIPPED: $*" >&2 && exit 77; }

# In a mount namespace of its own: what is hidden below is hidden from this process and its children alone.
((EUID == 0)) || skip "only root can hide this machine's packages"
if [[ /proc/self/ns/mnt -ef /proc/$PPID/ns/mnt ]]; then
  unshare --mount true || skip "no mount namespace can be made here"
  exec unshare --mount --propagation private "$0" "$@"
fi
home=$1
shift

# What is removed from the overlay is only marked so, in memory.
mount -t tmpfs tmpfs /mnt
mkdir /mnt/{upper,work}
mount -t overlay overlay -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work /usr ||
  skip "no overlay can be mounted over /usr here"
[[ $(stat --file-system --format=%T /usr) == overlayfs ]] || skip "the overlay over /usr does not hold"

shopt -s nullglob
libraries=(/usr/lib/*-linux-gnu)
rm -rf /usr/include/* /usr/lib/gcc /usr/share/{cmake*,wordnet,openmpi} /usr/lib/python3*/ensurepip \
  "${libraries[0]}"/{*.a,lib*.so,cmake,pkgconfig,openmpi,pmix2,hdf5,libmpi*,libopen-*,libhdf5*,libfmt*,libspdlog*} \
  /usr/{,local/}bin/{g++,gcc,c++,cc,cpp,clang}* /usr/{,local/}bin/{cmake,ctest,ninja,mpi,orte,h5,ccache,sudo,ssh}* \
  /usr/bin/*-linux-gnu-* /usr/bin/{as,ld,ar,nm,ranlib,readelf,strip}

exec setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs \
  env -i HOME="$home" PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 "$@"
