#!/usr/bin/env bash
# Set-up from nothing: packages, virtual environment, demo model, build.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

usage() {
  cat <<'EOF'
launch/setup.sh [TARGET]
  Installs what is missing, makes the demo's model and builds TARGET (default: all). The program is
  build/kvcomm. Each step is skipped where it is done. Python's packages come from PyPI into .venv, Debian's
  as root or by sudo; where neither is, they are unpacked into third_party, and a shell that calls mpirun,
  build/kvcomm or cmake by hand sources third_party/env.sh first.
  KVCOMM_PACKAGES=auto|unpack|no
                      unpack: missing ones into third_party even where sudo is; no: conda or the site's
                      modules have all, and CMake says what it does not find (docs/cluster.md)
  KVCOMM_TORCH=...    the libtorch of another PyTorch: its folder (.../site-packages/torch), or its Python
  KVCOMM_GPU=yes|no   overrides the search for a GPU (default: auto)
  PYTHON=python3.12   another interpreter than python3 for .venv
Example: KVCOMM_GPU=yes launch/setup.sh kvcomm
EOF
}

readonly venv=.venv python=${PYTHON:-python3} packages=${KVCOMM_PACKAGES:-auto}

# ---- Debian packages

readonly commands=(g++:g++ cmake:cmake ninja:ninja-build mpirun:openmpi-bin mpicc:libopenmpi-dev)
readonly headers=(CLI/CLI.hpp:libcli11-dev fmt/format.h:libfmt-dev gmock/gmock.h:libgmock-dev gtest/gtest.h:libgtest-dev
  hdf5/serial/hdf5.h:libhdf5-dev nlohmann/json.hpp:nlohmann-json3-dev pcre2.h:libpcre2-dev simdjson.h:libsimdjson-dev
  spdlog/spdlog.h:libspdlog-dev toml++/toml.h:libtomlplusplus-dev utf8proc.h:libutf8proc-dev xxhash.h:libxxhash-dev)
readonly others=(python3-venv wordnet-base)

# Prints the packages whose command, header or file is not found, whoever installed it.
missing_packages() {
  local pair
  for pair in "${commands[@]}"; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
  done
  missing_headers
  "$python" -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  [[ -e ${WNSEARCHDIR:-/usr/share/wordnet}/index.noun ]] || echo wordnet-base
}

missing_headers() {
  local pair preprocess=(g++ -E -P -x c++ -)
  command -v g++ >/dev/null || preprocess=(grep -v '^#') # no compiler: none is found
  for pair in "${headers[@]}"; do
    printf '#if !__has_include(<%s>)\n%s\n#endif\n' "${pair%%:*}" "${pair##*:}"
  done | "${preprocess[@]}"
}

install_packages() {
  local missing
  if [[ $packages == no ]]; then return; fi
  missing=$(missing_packages | xargs)
  if [[ ! $missing ]]; then return; fi
  # shellcheck disable=SC2086  # a list
  if apt_install $missing || unpack_packages; then missing=$(missing_packages | xargs); fi
  [[ -z $missing ]] ||
    die "$exit_environment" "needed, and could not be installed here (Debian's names): $missing." \
      "docs/cluster.md, 'Set-up without root', tells of conda and of a site's modules."
}

apt_install() {
  local as_root=() answer
  if [[ $packages == unpack ]] || ! command -v apt-get >/dev/null; then return 1; fi
  if ((EUID != 0)); then
    command -v sudo >/dev/null || return
    as_root=(sudo -n) # no password can be asked for without a terminal
    if [[ -t 0 && -t 2 ]]; then
      read -r -p "These Debian packages are missing: $* - install them with sudo? [y/N] " answer
      [[ $answer == [yY]* ]] || return
      as_root=(sudo)
    fi
  fi
  say "installing Debian packages (1 to 3 minutes): $*"
  "${as_root[@]}" apt-get update -q >&2 || return
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "$@" >&2
}

# All of them: what is unpacked stands on its own, whatever the machine has.
unpack_packages() {
  launch/setup/unpack_debian.sh "${commands[@]##*:}" "${headers[@]##*:}" "${others[@]}" || return
  # shellcheck source=/dev/null
  source third_party/env.sh
}

check_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$exit_environment" "Python 3.11 is needed, '$python' is $("$python" --version 2>&1)." \
      "Set PYTHON to another interpreter."
}

# ---- libtorch

# KVCOMM_TORCH as a folder; nothing where it is not set, and .venv gets a libtorch.
torch_folder() {
  local folder=${KVCOMM_TORCH:-}
  if [[ ! $folder ]]; then return; fi
  if [[ ! -d $folder ]]; then
    folder=$("$folder" -c 'import importlib.util as found
print(found.find_spec("torch").submodule_search_locations[0])' 2>/dev/null) ||
      die "$exit_environment" "KVCOMM_TORCH is '$KVCOMM_TORCH', which is no folder, and no Python that has torch."
  fi
  [[ -e $folder/lib/libtorch_cpu.so && -e $folder/include/ATen/ATen.h ]] ||
    die "$exit_environment" "KVCOMM_TORCH is '$KVCOMM_TORCH', but '$folder' has no lib/libtorch_cpu.so or no" \
      "include/ATen: give the folder 'torch' of a site-packages, or its Python."
  realpath "$folder"
}

# ---- virtual environment

requirement_files() {
  if [[ $torch ]]; then # what is torch's own is where that torch is
    grep -vE '^(torch|nvidia)' launch/setup/requirements.txt >.cache/requirements.txt
    echo .cache/requirements.txt
    return
  fi
  echo launch/setup/requirements.txt
  if has_gpu; then echo launch/setup/requirements-cuda.txt; fi
}

install_venv() {
  local -a files
  mapfile -t files < <(requirement_files)
  install_requirements "$venv" "${files[@]}"
}

# ---- build

# Configures when the preset, the presets' file or the environment is another than the last time;
# a change in a CMakeLists.txt is the build's own to see.
configure() {
  local preset=$1 stamp=build/.configured from=(-UKVCOMM_TORCH) now
  now="$preset $torch $(cat CMakePresets.json "$venv/.requirements.sha256" | sha256sum)"
  [[ -f build/build.ninja && $(cat "$stamp" 2>/dev/null) == "$now" ]] && return
  say "configuring the build ($preset)"
  if [[ $torch ]]; then from=("-DKVCOMM_TORCH=$torch"); fi
  cmake --preset "$preset" "${from[@]}" >&2
  echo "$now" >"$stamp"
}

build() {
  local preset=$1 target=$2 jobs
  jobs=$(build_jobs)
  [[ -x build/kvcomm ]] || say "building with $jobs jobs (2 to 10 minutes)"
  cmake --build --preset "$preset" --target "$target" -j "$jobs" >&2
}

main() {
  local preset
  preset=$(build_preset)
  torch=$(torch_folder)
  install_packages
  check_python
  install_venv
  "$venv/bin/python" launch/setup/make_demo_model.py
  configure "$preset"
  build "$preset" "${1:-all}"
  [[ ! -e third_party/env.sh ]] ||
    say "a shell that calls mpirun, build/kvcomm or cmake by hand needs: source third_party/env.sh"
}

case ${1:-} in
  -h | --help) usage && exit ;;
  -*) usage >&2 && die "$exit_usage" "launch/setup.sh has no option '$1'." ;;
esac
case $packages in
  auto | unpack | no) ;;
  *) die "$exit_usage" "KVCOMM_PACKAGES is '$packages': use auto, unpack or no." ;;
esac

# One set-up at a time in this folder: a second one waits, then finds all done.
mkdir -p .cache
exec 9>.cache/setup.lock
flock --nonblock 9 || {
  say "waiting for another set-up in this folder"
  flock 9
}
main "$@"
