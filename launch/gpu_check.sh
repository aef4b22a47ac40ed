#!/usr/bin/env bash
# A check of minutes on a GPU machine that has no MPI, no HDF5 and no network: built here, carried there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

usage() {
  cat <<'EOF'
launch/gpu_check.sh bundle
  Builds the CUDA program and its tests in build-cuda/ (with a virtual environment of its own: 4 GB, no GPU
  needed) and packs them with Open MPI, HDF5 and a tokenizer into build-cuda/gpu_bundle.tar.xz.
  It wants what launch/setup.sh installs. Each step is skipped where it is done.
launch/gpu_check.sh run [--only STEP...] [--output DIR] [--device cpu|cuda] [--python PYTHON]
  Checks this machine with that archive in at most 300 s, correctness before speed. It needs the archive, this
  working tree and a Python with torch 2.11, safetensors and transformers (default: python3).
  One line a check on stdout; a log and a JSON record go to DIR (default: results/benchmarks).
  Exit code 0: nothing failed. --device cpu rehearses it all, in small, where there is no GPU.
EOF
}

readonly build=build-cuda tokenizer=models/HuggingFaceTB/SmolLM2-135M-Instruct/tokenizer.json

# ---- here

# Of the requirements those that the program is linked with and runs on.
install_venv() {
  local wanted=$build/requirements.txt
  mkdir -p "$build"
  grep -hE '^(torch|nvidia-)' launch/setup/requirements.txt launch/setup/requirements-cuda.txt >"$wanted"
  install_requirements "$build/venv" "$wanted"
}

# Without rpaths: the folders that they would name are not there.
build_programs() {
  local log=$build/build.log
  [[ -x $build/kvcomm ]] || say "building in $build (5 to 15 minutes; $log tells how far it is)"
  {
    cmake --preset cuda -B "$build" -DKVCOMM_VENV="$root/$build/venv" -DCMAKE_SKIP_RPATH=ON &&
      cmake --build "$build" -j "$(build_jobs)" --target kvc_gpu_bundle
  } >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "$exit_environment" "the CUDA build failed; all that it said is in $log."
  }
}

bundle() {
  (($# == 0)) || die "$exit_usage" "launch/gpu_check.sh bundle takes no arguments; '$1' is one."
  [[ -e $tokenizer ]] || die "$exit_environment" "there is no $tokenizer: run launch/setup.sh first."
  install_venv
  build_programs
  exec python3 launch/gpu_check/pack.py "$build"
}

# ---- there

run() {
  local python=${PYTHON:-python3}
  local -a rest=()
  while (($#)); do
    case $1 in
      --python)
        (($# > 1)) || die "$exit_usage" "--python needs an interpreter with torch, safetensors and transformers."
        python=$2
        shift 2
        ;;
      *)
        rest+=("$1")
        shift
        ;;
    esac
  done
  exec "$python" launch/gpu_check/check.py "${rest[@]}"
}

case ${1:-} in
  bundle | run) "$@" ;;
  -h | --help) usage ;;
  *) usage >&2 && die "$exit_usage" "launch/gpu_check.sh does 'bundle' or 'run', not '${1:-}'." ;;
esac
