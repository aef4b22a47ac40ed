#!/usr/bin/env bash
# A sweep on several machines without a scheduler: mpirun over ssh, with one rank per slot of a host file.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'EOF'
launch/hosts.sh HOSTFILE SWEEP.toml [kvcomm run's arguments]
HOSTFILE is Open MPI's, a line for each host; this machine is one of them:
  node7 slots=4
  node8 slots=4
A slot is a rank: one for each GPU or, where there is none, one for each four cores. In all, as many as
whole lanes need. Every host has this folder, the models and the data under the same paths, and is
reached by ssh without a password. KVCOMM_MPIRUN_FLAGS adds options of mpirun, such as
  KVCOMM_MPIRUN_FLAGS="--mca btl_tcp_if_include 10.0.0.0/24 --mca oob_tcp_if_include 10.0.0.0/24"
EOF
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then usage && exit; fi
if (($# < 2)); then
  usage >&2
  exit "$exit_usage"
fi
file=$1
shift
[[ -r $file ]] || die "$exit_usage" "there is no host file '$file'."

# Open MPI counts a host's cores where the file does not say its slots.
ranks=0
while read -r host slots; do
  if [[ ! $host || $host == \#* ]]; then continue; fi
  [[ $slots =~ ^slots=([1-9][0-9]*)$ ]] || die "$exit_usage" "'$file' must say of $host how many ranks it takes: $host slots=4"
  ((ranks += BASH_REMATCH[1]))
done <"$file"
((ranks)) || die "$exit_usage" "'$file' names no host."
[[ -x $root/build/kvcomm ]] ||
  die "$exit_environment" "there is no build/kvcomm yet: run launch/setup.sh first."
check_mpi "$root/build/kvcomm"

say "$ranks rank(s) on the hosts of $file"
mpi_run "$ranks" --hostfile "$file" --map-by slot --mca orte_launch_agent "$root/launch/orted.sh" \
  "$root/build/kvcomm" run "$@"
