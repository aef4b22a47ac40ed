#!/usr/bin/env bash
# Set-up from nothing: packages, virtual environment, demo model, build.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

usage() {
  cat <<'EOF'
launch/setup.sh [TARGET]
  Installs what is missing (Debian packages as root or by sudo; .venv and third_party from PyPI),
  makes the demo's model and builds TARGET (default: all). The program is build/kvcomm.
  Each step is skipped where it is done.
  KVCOMM_GPU=yes|no   overrides the search for a GPU (default: auto)
  PYTHON=python3.12   another interpreter than python3 for .venv
Example: KVCOMM_GPU=yes launch/setup.sh kvcomm
EOF
}

readonly venv=.venv python=${PYTHON:-python3}

# ---- Debian packages

# Prints the packages whose command, header or file is not found, whoever installed it.
missing_packages() {
  missing_commands
  missing_headers
  "$python" -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
  [[ -e /usr/share/wordnet/index.noun ]] || echo wordnet-base
}

missing_commands() {
  local pair
  for pair in g++:g++ cmake:cmake ninja:ninja-build pkg-config:pkg-config mpirun:openmpi-bin \
    mpicc:libopenmpi-dev h5cc:libhdf5-dev; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
  done
}

missing_headers() {
  local pair preprocess=(g++ -E -P -x c++ -)
  command -v g++ >/dev/null || preprocess=(grep -v '^#') # no compiler: none is found
  for pair in CLI/CLI.hpp:libcli11-dev fmt/format.h:libfmt-dev gmock/gmock.h:libgmock-dev gtest/gtest.h:libgtest-dev \
    nlohmann/json.hpp:nlohmann-json3-dev pcre2.h:libpcre2-dev simdjson.h:libsimdjson-dev spdlog/spdlog.h:libspdlog-dev \
    toml++/toml.h:libtomlplusplus-dev utf8proc.h:libutf8proc-dev xxhash.h:libxxhash-dev; do
    printf '#if !__has_include(<%s>)\n%s\n#endif\n' "${pair%%:*}" "${pair##*:}"
  done | "${preprocess[@]}"
}

install_packages() {
  local missing
  missing=$(missing_packages | xargs)
  [[ $missing ]] || return 0
  say "installing Debian packages (1 to 3 minutes): $missing"
  # shellcheck disable=SC2086  # a list
  if apt_install $missing; then missing=$(missing_packages | xargs); fi
  [[ -z $missing ]] ||
    die "$exit_environment" "needed, and could not be installed here (Debian's names): $missing"
}

apt_install() {
  local as_root=() answer
  command -v apt-get >/dev/null || return
  if ((EUID != 0)); then
    as_root=(sudo -n) # no password can be asked for without a terminal
    if [[ -t 0 && -t 2 ]]; then
      read -r -p "Install them with sudo? [y/N] " answer
      [[ $answer == [yY]* ]] || return
      as_root=(sudo)
    fi
  fi
  "${as_root[@]}" apt-get update -q >&2 || return
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qy --no-install-recommends "$@" >&2
}

check_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$exit_environment" "Python 3.11 is needed, '$python' is $("$python" --version 2>&1)." \
      "Set PYTHON to another interpreter."
}

# ---- virtual environment

requirement_files() {
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
  local preset=$1 stamp=build/.configured now
  now="$preset $(cat CMakePresets.json "$venv/.requirements.sha256" | sha256sum)"
  [[ -f build/build.ninja && $(cat "$stamp" 2>/dev/null) == "$now" ]] && return
  say "configuring the build ($preset)"
  cmake --preset "$preset" >&2
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
  install_packages
  check_python
  install_venv
  "$venv/bin/python" launch/setup/make_demo_model.py
  configure "$preset"
  build "$preset" "${1:-all}"
}

case ${1:-} in
  -h | --help) usage && exit ;;
  -*) usage >&2 && die "$exit_usage" "launch/setup.sh has no option '$1'." ;;
esac

# One set-up at a time in this folder: a second one waits, then finds all done.
mkdir -p .cache
exec 9>.cache/setup.lock
flock --nonblock 9 || {
  say "waiting for another set-up in this folder"
  flock 9
}
main "$@"
