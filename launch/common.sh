# What the launch scripts share. Sourced; the caller has set -euo pipefail.
# shellcheck shell=bash disable=SC2034

shopt -s inherit_errexit  # a failure inside $(...) ends the script too

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exit_usage=2 exit_environment=4 # the program's own codes for these
readonly root exit_usage exit_environment

say() { printf '== %s\n' "$*" >&2; }

# die CODE MESSAGE...
die() {
  local code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

# KVCOMM_GPU=yes|no decides by hand, as on a login node that builds for others. It is checked here,
# once: a failure inside $(...) or an `if` would not end the script.
case ${KVCOMM_GPU:-auto} in
  yes | no | auto) ;;
  *) die "$exit_usage" "KVCOMM_GPU is '$KVCOMM_GPU': use yes, no or auto." ;;
esac

has_gpu() {
  case ${KVCOMM_GPU:-auto} in
    yes) return 0 ;;
    no) return 1 ;;
    *) nvidia-smi -L 2>/dev/null | grep -q '^GPU ' ;;
  esac
}

# The preset that builds into build/ on this machine.
build_preset() { if has_gpu; then echo cuda; else echo release; fi; }

# mpi_run RANKS PROGRAM ARGS...: replaces this shell. No binding: the program shares the cores out
# itself. --oversubscribe allows more ranks than cores; where there are enough it changes nothing.
mpi_run() {
  local ranks=$1
  shift
  command -v mpirun >/dev/null ||
    die "$exit_environment" "there is no mpirun here: install Open MPI (Debian's package openmpi-bin)."
  if ((EUID == 0)); then  # Open MPI refuses root unless told twice
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  exec mpirun -np "$ranks" --bind-to none --oversubscribe "$@"
}
