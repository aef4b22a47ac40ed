# What submit.sh and the two scripts for sbatch share. Sourced; the caller has set -euo pipefail.
# shellcheck shell=bash

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../launch/common.sh"
exit_stopped=75
readonly exit_stopped

# The site's settings, where it has some, and the modules that they name.
load_site() {
  local profile
  [[ -e $root/slurm/site.env ]] || return 0
  # shellcheck source=slurm/site.env.example
  source "$root/slurm/site.env"
  [[ ${modules:-} ]] || return 0
  set +u # the command of many sites reads variables that are not set
  for profile in /etc/profile.d/{lmod,z00_lmod,modules}.sh; do
    if ! command -v module >/dev/null && [[ -r $profile ]]; then source "$profile"; fi
  done
  command -v module >/dev/null ||
    die "$exit_environment" "slurm/site.env names modules, and $(hostname) has no command 'module'."
  # shellcheck disable=SC2086  # a list
  module load $modules || die "$exit_environment" "these modules of slurm/site.env cannot be loaded: $modules"
  set -u
}

# kvcomm ARGS...: the program, where it was built.
kvcomm() {
  [[ -x $root/build/kvcomm ]] || die "$exit_environment" "there is no $root/build/kvcomm: run launch/setup.sh first."
  "$root/build/kvcomm" "$@"
}

# config_value KEY CONFIG: of what `--show-config` prints, the first value of that key.
config_value() { sed -nE "0,/^$1 = / s/^$1 = (\"([^\"]*)\"|(.*[^ ])) +#.*/\2\3/p" <<<"$2"; }

# ---- in the job

# How Open MPI's ranks find each other: by PMIx, or by PMI-2 where it was built for that too (its component s2).
pmi_flavour() {
  local known versioned
  known=$(srun --mpi=list 2>&1)
  versioned=$(grep -owE 'pmix_v[0-9]+' <<<"$known" | sort -V | tail -n 1) || versioned=''
  if grep -qw pmix <<<"$known"; then
    echo pmix
  elif [[ $versioned ]]; then
    echo "$versioned"
  elif grep -qw pmi2 <<<"$known" && [[ $(ompi_info --parsable) == *mca:pmix:s2:* ]]; then
    echo pmi2
  else
    die "$exit_environment" "this Slurm starts no ranks that Open MPI's could find: \`srun --mpi=list\` knows" \
      "$(xargs <<<"$known"). Ask the site for its PMIx plugin (Debian's package slurm-wlm has it)."
  fi
}

# Rank 0 writes to the job's log, each other rank to one of its own beside the results. What srun hands on before a rank
# has begun is lost, and told by a file.
# shellcheck disable=SC2016  # for the shell of each rank
readonly as_rank='
  if [[ -e $0.stop ]]; then exit 75; fi
  if ((SLURM_PROCID > 0)); then exec >>"$0-$SLURM_PROCID.log" 2>&1; fi
  exec "$@"'

# run_job ARGS...: `kvcomm run ARGS` on all ranks of the job. Ends this shell with the run's code, and has Slurm start
# the job again where the run was stopped early (75): anything else would fail again.
run_job() {
  local config logs flavour code=0 step='' stopped='' stop=/dev/null
  local job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  job=${job:-$SLURM_JOB_ID}
  # Slurm signals this shell before the time limit and at a pre-emption. TERM would make srun kill the ranks; USR1 it
  # hands on: they finish what they have in hand (run.grace_s) and leave with 75, at once after a second signal.
  trap 'stopped=yes; touch "$stop"; if [[ $step ]]; then kill -USR1 "$step" 2>/dev/null || true; fi' USR1 USR2 TERM
  load_site
  config=$(kvcomm run "$@" --show-config)
  logs=$(config_value output "$config")/logs
  mkdir -p "$logs"
  stop=$logs/$job.stop
  rm -f "$stop"
  if [[ $stopped ]]; then touch "$stop"; fi
  flavour=$(pmi_flavour)
  say "job $job, start $((${SLURM_RESTART_COUNT:-0} + 1)): $SLURM_NTASKS rank(s) on $SLURM_JOB_NODELIST by --mpi=$flavour"

  # srun does not take over the job's --cpus-per-task since Slurm 22.05.
  export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
  # No --gpu-bind: each rank sees all GPUs that the job has on its node, so that NCCL copies between them, and takes the
  # one of its local rank. (`none` would show it other jobs' GPUs too, where cgroups do not confine it.)
  unset SLURM_GPU_BIND
  # --wait: a rank that is gone does not leave the others waiting; all that are well leave together.
  srun --mpi="$flavour" --kill-on-bad-exit=0 --wait=60 \
    bash -c "$as_rank" "$logs/$job" "$root/build/kvcomm" run "$@" &
  step=$!
  # A signal ends `wait`, not the step: wait until it is gone, then ask for its code.
  while kill -0 "$step" 2>/dev/null; do wait "$step" || true; done
  wait "$step" || code=$?
  # The ranks, or srun, had not come so far as to catch the signal.
  if [[ $stopped ]] && ((code > 128)); then code=$exit_stopped; fi
  rm -f "$stop"
  say "job $job ends with $code; what other ranks than 0 said is in $logs/$job-*.log"
  if ((code == exit_stopped)); then requeue "$job"; fi
  exit "$code"
}

# A job that scancel or its time limit has ended is in another state than RUNNING, and stays ended.
requeue() {
  local state
  state=$(squeue --noheader --format=%T --job="$1") || state='in a state that squeue does not tell'
  if [[ $state == RUNNING ]] && scontrol requeue "$1"; then return; fi
  say "job $1 is $state: it is not requeued, and the same submission goes on from what is stored"
}
