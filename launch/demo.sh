#!/usr/bin/env bash
# The demo: set-up, then a sweep with a language model over two MPI ranks -> results/demo/results.h5
#   launch/demo.sh [kvcomm arguments]     SEED=7 launch/demo.sh runs it on other data
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

case ${1:-} in
  -h | --help) sed -n '2,3s/^# *//p' "$0" && exit ;;
esac

# The data of seed 1 are in the repository; others are made for the run.
seed=${SEED:-1} data=launch/data
if [[ $seed != 1 ]]; then data=.cache/demo-data/$seed; fi

make_data() {
  local file=$data/demo.jsonl
  if [[ $seed == 1 && -s $file ]]; then return; fi
  .venv/bin/python launch/setup/make_demo_data.py --seed "$seed" --output "$file" >&2
}

launch/setup.sh kvcomm
use_unpacked
make_data
check_mpi build/kvcomm
say "running the demo (a few minutes on two cores; stop and start again at will)"
mpi_run 2 build/kvcomm run launch/sweeps/demo.toml --set "paths.data=$data" "$@"
