# What the launch scripts share. Sourced; the caller has set -euo pipefail.
# shellcheck shell=bash disable=SC2034

shopt -s inherit_errexit  # a failure inside $(...) ends the script too

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
exit_usage=2 exit_environment=4 # the program's own codes for these
readonly root exit_usage exit_environment

# Compilers, libraries and MPI that launch/setup.sh unpacked where it had no root.
# shellcheck source=/dev/null
use_unpacked() { if [[ -e $root/third_party/env.sh ]]; then source "$root/third_party/env.sh"; fi; }
use_unpacked

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

# install_requirements FOLDER FILE...: the files' packages, and nothing that they ask for, into a virtual environment;
# skipped where it is done.
install_requirements() {
  local folder=$1 stamp=$1/.requirements.sha256
  shift
  [[ $(cat "$stamp" 2>/dev/null) == "$(sha256sum "$@")" ]] && return
  say "installing libtorch and Python packages into $folder (2 to 5 minutes, longer for a GPU)"
  "$folder/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv --clear "$folder"
  "$folder/bin/python" -m pip --quiet --disable-pip-version-check install --no-deps "${@/#/--requirement=}"
  sha256sum "$@" >"$stamp"
}

# One job per 2 GiB of free memory at most: libtorch's headers are large.
build_jobs() {
  local cores free_kib
  cores=$(nproc)
  free_kib=$(awk '/^MemAvailable/ {print $2}' /proc/meminfo)
  local by_memory=$((free_kib / (2 * 1024 * 1024) + 1))
  echo $((by_memory < cores ? by_memory : cores))
}

# stop_job PID: of mpirun, which hands USR1 on only once it has ranks. Sets the caller's $stopped.
stop_job() {
  local ranks=/proc/$1/task/$1/children
  stopped=USR1
  if [[ -r $ranks && ! $(<"$ranks") ]]; then stopped=TERM; fi
  kill -"$stopped" "$1" 2>/dev/null || true
}

# check_mpi PROGRAM: that there is an mpirun here, of the Open MPI that the program was linked with.
check_mpi() {
  local launcher program
  command -v mpirun >/dev/null ||
    die "$exit_environment" "there is no mpirun here: install Open MPI (Debian's package openmpi-bin)."
  program=$("$1" --version) || die "$exit_environment" "$1 does not start here: run launch/setup.sh."
  launcher=$(mpirun --version)
  [[ $program =~ openmpi\ ([0-9.]+) ]]
  program=${BASH_REMATCH[1]}
  if [[ $launcher =~ \((Open\ MPI|OpenRTE)\)\ ([0-9.]+) ]]; then launcher=${BASH_REMATCH[2]}; fi
  [[ ${launcher%.*} == "${program%.*}" ]] || die "$exit_environment" \
    "$(command -v mpirun) is of '${launcher%%$'\n'*}', but $1 was built with Open MPI $program:" \
    "put that one's mpirun first in PATH, or build again with launch/setup.sh."
}

# children_of PID: what its main thread started.
children_of() { cat "/proc/$1/task/$1/children" 2>/dev/null || true; }

# has_ranks PID: whether children of PID are ranks of a job.
has_ranks() {
  local child
  for child in $(children_of "$1"); do
    if grep --quiet --null-data '^OMPI_COMM_WORLD_RANK=' "/proc/$child/environ" 2>/dev/null; then return 0; fi
  done
  return 1
}

# await_job PID: waits for an mpirun, or for its daemon on another host. Where a host or the way to it is
# lost they wait for it for ever: 15 s after the last of its ranks is gone such a one is ended, and with
# it what it started. Sets the caller's $outlived.
await_job() {
  local left_s='' children
  # A signal ends `wait`, not the job: wait until it is gone.
  while kill -0 "$1" 2>/dev/null; do
    sleep 1 &>/dev/null &
    wait -n "$1" $! || true
    if has_ranks "$1"; then
      left_s=15
    elif [[ $left_s ]] && ((--left_s == 0)); then
      outlived=yes
      read -ra children <<<"$(children_of "$1")"
      kill -KILL "$1" "${children[@]}" || true
    fi
  done
}

# mpi_run RANKS [MPIRUN'S OPTIONS] PROGRAM ARGS...: returns the job's code. No binding: the program
# shares the cores out itself. --oversubscribe allows more ranks than cores; where there are enough it
# changes nothing. KVCOMM_MPIRUN_FLAGS are further options.
#
# mpirun kills its ranks a second after Ctrl-C. So it runs in a session of its own, where the
# terminal's signals do not reach it, and what this shell gets goes to the ranks as USR1, which mpirun
# hands on: they finish what they have in hand and leave with 75; a second one ends them at once.
mpi_run() {
  local ranks=$1 job code=0 stopped='' outlived='' flags
  shift
  read -ra flags <<<"${KVCOMM_MPIRUN_FLAGS:-}"
  if ((EUID == 0)); then  # Open MPI refuses root unless told twice
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  # The ranks write to mpirun: whether that is a terminal, and how wide, this shell knows alone.
  if [[ -t 2 ]]; then export KVCOMM_TERMINAL=${COLUMNS:-$(stty size <&2 | cut -d ' ' -f 2)}; fi
  # --quiet: a stop is no failure to explain. <&0: else a background job reads nothing.
  setsid mpirun --quiet -np "$ranks" --bind-to none --oversubscribe "${flags[@]}" "$@" <&0 &
  job=$!
  trap 'stop_job "$job"' INT TERM HUP
  await_job "$job"
  wait "$job" || code=$?
  trap - INT TERM HUP
  # Nothing had begun, or ranks had not come so far as to catch the signal and died of it.
  if [[ $stopped == TERM ]] || { [[ $stopped ]] && ((code > 128)); }; then code=75; fi
  if [[ $outlived ]]; then
    say "mpirun did not end though the ranks here had: a host or the way to it is gone; it was ended"
    return "$exit_environment"
  fi
  if ((code > 128)); then say "the run died of signal $((code - 128)) ($(kill -l "$((code - 128))"))"; fi
  return "$code"
}
