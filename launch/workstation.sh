#!/usr/bin/env bash
# A sweep on one machine: mpirun with one rank per GPU or, where there is none, per group of cores.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'EOF'
launch/workstation.sh [--lanes N] SWEEP.toml [kvcomm run's arguments]
  --lanes N     lanes that work side by side, each of a sweep's senders and a receiver. Default:
                as many as the GPUs (one per rank) or the cores (four per rank) allow.
One GPU, or fewer cores than a lane's ranks want, gives one rank that plays all ends.
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
check_mpi "$root/build/kvcomm"

# How many senders the sweep's pairs have; what is wrong with the file is the program's to say.
senders() {
  "$root/.venv/bin/python" - "$1" 2>/dev/null <<'EOF' || echo 1
import sys, tomllib
sender = tomllib.load(open(sys.argv[1], "rb"))["pair"][0]["sender"]
print(len(sender) if isinstance(sender, list) else 1)
EOF
}

ends=$(($(senders "$1") + 1))
lanes=${lanes:-$(($(room) / ends))}
ranks=$((lanes ? lanes * ends : 1))
say "$ranks rank(s) on $(hostname)"
mpi_run "$ranks" "$root/build/kvcomm" run "$@"
