#!/usr/bin/env bash
# A sweep on one machine: mpirun with one rank per GPU or, where there is none, per group of cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'EOF'
launch/workstation.sh [--lanes N] SWEEP.toml [kvcomm run's arguments]
  --lanes N     pairs of agents that work side by side; 2 N ranks are started. Default: as many
                as the GPUs (one per rank) or the cores (four per rank) allow.
One GPU, or fewer cores than two ranks want, gives one rank that plays both ends.
Example: launch/workstation.sh launch/sweeps/demo.toml --set run.limit=5
EOF
}

gpus() {
  if [[ ${CUDA_VISIBLE_DEVICES:-} ]]; then
    tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | wc -l
  else
    nvidia-smi -L 2>/dev/null | grep -c '^GPU ' || true
  fi
}

# How many ranks this machine has room for.
room() { if has_gpu; then gpus; else echo $(($(nproc) / 4)); fi; }

lanes=''
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --lanes)
      (($# > 1)) || die "$exit_usage" "--lanes needs a number."
      lanes=$2
      shift 2
      ;;
    *) break ;;
  esac
done
if ((!$#)); then
  usage >&2
  exit "$exit_usage"
fi
[[ ${lanes:-1} =~ ^[1-9][0-9]*$ ]] ||
  die "$exit_usage" "--lanes '$lanes' must be a whole number from 1."
[[ -x $root/build/kvcomm ]] ||
  die "$exit_environment" "there is no build/kvcomm yet: run launch/setup.sh first."

lanes=${lanes:-$(($(room) / 2))}
ranks=$((lanes ? lanes * 2 : 1))
say "$ranks rank(s) on $(hostname)"
mpi_run "$ranks" "$root/build/kvcomm" run "$@"
