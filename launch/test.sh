#!/usr/bin/env bash
# Every check: set-up, format, the CUDA sources where there is a toolkit, the tests.
#   launch/test.sh [--all] [ctest arguments]     --all: the slow ones too (label nightly)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

check_format() {
  # other versions lay out some lines differently
  if [[ $(clang-format --version 2>/dev/null) != *"version 14."* ]]; then
    say "format not checked: clang-format 14 is not here"
    return
  fi
  say "checking the format"
  find src tests \( -name '*.cpp' -o -name '*.h' -o -name '*.cu' \) \
    -exec clang-format --dry-run --Werror {} +
}

# Compiles what the CPU build leaves out; needs no GPU, and links nothing.
compile_cuda_sources() {
  if [[ $(build_preset) == cuda ]]; then return; fi  # already in the build
  if ! command -v nvcc >/dev/null && [[ ! -x /usr/local/cuda/bin/nvcc ]]; then
    say "CUDA and NCCL sources not compiled: no nvcc here"
    return
  fi
  say "compiling the CUDA and NCCL sources (objects only)"
  fetch_nccl_header
  cmake --preset cuda-objects >&2
  cmake --build --preset cuda-objects >&2
}

# NCCL's header comes with its wheel (200 MB) where the system has none.
fetch_nccl_header() {
  local folder
  for folder in /usr/include /usr/local/include /usr/local/cuda/include \
    .venv/lib/python3*/site-packages/nvidia/nccl/include; do
    if [[ -e $folder/nccl.h ]]; then return; fi
  done
  .venv/bin/python -m pip install --quiet --no-deps \
    "$(grep '^nvidia-nccl' launch/setup/requirements-cuda.txt)"
}

run_tests() {
  local labels
  labels=$(excluded_labels)
  ctest --preset "$(build_preset)" --output-on-failure --no-tests=error \
    ${labels:+--label-exclude "^($labels)\$"} "$@"
}

excluded_labels() {
  local labels=()
  if [[ $all == no ]]; then labels+=(nightly); fi
  if ! has_gpu; then labels+=(gpu); fi
  (IFS='|' && echo "${labels[*]}")
}

case ${1:-} in
  -h | --help) sed -n '2,3s/^# *//p' "$0" && exit ;;
esac
all=no
if [[ ${1:-} == --all ]]; then
  all=yes
  shift
fi
launch/setup.sh all
use_unpacked
check_format
compile_cuda_sources
say "running the tests (slow ones too: $all)"
run_tests "$@"
