#!/usr/bin/env bash
# A sweep on one machine: mpirun with one rank per GPU or, where there is none, per group of cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'EOF'
launch/workstation.sh [--lanes N] [--senders S] SWEEP.toml [kvcomm run's arguments]
  --lanes N     pairs of agents that work side by side; N x (S + 1) ranks are started.
                Default: as many as the GPUs (one per rank) or the cores (four per rank) allow.
  --senders S   senders per lane, as in the sweep's pairs (default 1)
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

lanes='' senders=1
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --lanes | --senders)
      (($# > 1)) || die "$exit_usage" "$1 needs a number."
      printf -v "${1#--}" '%s' "$2"
      shift 2
      ;;
    *) break ;;
  esac
done
if ((!$#)); then
  usage >&2
  exit "$exit_usage"
fi
[[ ${lanes:-1} =~ ^[1-9][0-9]*$ && $senders =~ ^[1-9][0-9]*$ ]] ||
  die "$exit_usage" "--lanes '$lanes' and --senders '$senders' must be whole numbers from 1."
[[ -x $root/build/kvcomm ]] ||
  die "$exit_environment" "there is no build/kvcomm yet: run launch/setup.sh first."

lanes=${lanes:-$(($(room) / (senders + 1)))}
ranks=$((lanes ? lanes * (senders + 1) : 1))
say "$ranks rank(s) on $(hostname)"
mpi_run "$ranks" "$root/build/kvcomm" run "$@"
