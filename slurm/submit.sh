#!/usr/bin/env bash
# Submits a sweep to Slurm: checks it first, then fills in what the site and the sweep want.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/job.sh"

usage() {
  cat <<'EOT'
slurm/submit.sh SWEEP.toml [options] [-- kvcomm run's arguments]
  --nodes N           nodes of a job (default: 1)
  --ranks-per-node N  ranks on each (default: slurm/site.env's, else one a GPU, else 2); in all a multiple
                      of senders + 1, or 1, or any number with run.placement = "colocate"
  --gpus-per-node N   GPUs on each (default: slurm/site.env's, else 0)
  --time LIMIT        as sbatch takes it (default: half as much again as the plan's hours, where stored rows
                      tell them, within slurm/site.env's `hours`); what is not done by then is requeued
  --array             a job for each pair, all in one folder, in the place of one job for all
  --dry-run           show sbatch's command and submit nothing
`kvcomm plan --strict` runs first, and nothing is submitted where it fails. The account, the partition, memory,
modules and more are set in slurm/site.env: slurm/site.env.example explains them.
Example: slurm/submit.sh sweep.toml --nodes 2 -- --set run.limit=20
EOT
}

# whole_number OPTION VALUE LEAST
whole_number() {
  [[ $2 =~ ^(0|[1-9][0-9]{0,5})$ && $2 -ge $3 ]] ||
    die "$exit_usage" "$1 '$2' must be a whole number from $3."
}

case " $* " in
  *" -h "* | *" --help "*) usage && exit ;;
esac
nodes=1 gpus_per_node=0 ranks_per_node='' cpus_per_rank=8 hours=24 sbatch_options=()
load_site

time_limit='' script=sweep dry_run=no sweep='' arguments=()
while (($#)); do
  case $1 in
    --array) script=array ;;
    --dry-run) dry_run=yes ;;
    --nodes | --ranks-per-node | --gpus-per-node | --time)
      (($# > 1)) || die "$exit_usage" "$1 needs a value."
      case $1 in
        --nodes) nodes=$2 ;;
        --ranks-per-node) ranks_per_node=$2 ;;
        --gpus-per-node) gpus_per_node=$2 ;;
        --time) time_limit=$2 ;;
      esac
      shift
      ;;
    --)
      arguments=("${@:2}")
      break
      ;;
    -*) die "$exit_usage" "slurm/submit.sh has no option '$1'; kvcomm run's arguments go behind --." ;;
    *)
      [[ -z $sweep ]] || die "$exit_usage" "'$1' is a second sweep; kvcomm run's arguments go behind --."
      sweep=$1
      ;;
  esac
  shift
done
if [[ -z $sweep ]]; then
  usage >&2
  exit "$exit_usage"
fi
whole_number --nodes "$nodes" 1
whole_number --gpus-per-node "$gpus_per_node" 0
ranks_per_node=${ranks_per_node:-$((gpus_per_node ? gpus_per_node : 2))}
whole_number --ranks-per-node "$ranks_per_node" 1
if [[ $script == array && " ${arguments[*]}" == *" --pair"* ]]; then
  die "$exit_usage" "--array gives each pair a job, --pair takes one pair: use one of them."
fi

# What the sweep wants.
config=$(kvcomm run "$sweep" "${arguments[@]}" --show-config)
output=$(config_value output "$config")
pairs=$(grep -c '^\[\[pair\]\]' <<<"$config")
quotes=$(config_value sender "$config" | tr -cd '"')
ends=$((${#quotes} ? ${#quotes} / 2 + 1 : 2)) # a list of senders has its names between quotes
if [[ $(config_value placement "$config") == colocate ]]; then ends=1; fi
ranks=$((nodes * ranks_per_node)) lanes=$((nodes * ranks_per_node / ends))
((ranks == 1 || ranks % ends == 0)) ||
  die "$exit_usage" "$nodes node(s) of $ranks_per_node rank(s) are $ranks ranks, and a lane takes $ends:" \
    "set --nodes and --ranks-per-node so that they are a multiple of $ends, or run.placement to \"colocate\"."

# The login node may have no GPU, so that what the job will compute on is not looked for here.
sets=()
if ((gpus_per_node)); then sets=(--set run.device=auto --set run.transport=auto); fi
say "checking the sweep (kvcomm plan --strict)"
code=0
plan=$(kvcomm plan "$sweep" "${arguments[@]}" "${sets[@]}" --strict) || code=$?
case $code in
  0) ;;
  3) grep ' will fail\.$' <<<"$plan" >&2 ;; # these samples; it is no reason not to run the others
  *) die "$code" "kvcomm plan says what \`run\` would stop at, so nothing is submitted." ;;
esac

# Half as much again, and a quarter of an hour to load: in minutes, on all lanes.
planned=$(sed -nE 's/^About ([0-9.e+-]+) hours on one lane.*/\1/p' <<<"$plan")
if [[ $time_limit ]]; then
  :
elif [[ $planned ]]; then
  jobs=1
  if [[ $script == array ]]; then jobs=$pairs; fi
  time_limit=$(awk -v planned="$planned" -v lanes="$((jobs * (lanes ? lanes : 1)))" -v most="$hours" \
    'BEGIN { wanted = int(planned / lanes * 90 + 15); most *= 60; print wanted < most ? wanted : most }')
  say "the plan tells $planned hours on one lane: asking for $time_limit minutes"
else
  time_limit=$((hours * 60))
  say "the plan tells no hours: asking for $hours hours (slurm/site.env's \`hours\`; --time sets another limit)"
fi

name=$(config_value name "$config")
log=$output/logs/%j.log
command=(sbatch --job-name="kvcomm-$name" --nodes="$nodes" --ntasks-per-node="$ranks_per_node"
  --cpus-per-task="$cpus_per_rank" --time="$time_limit")
if ((gpus_per_node)); then command+=(--gpus-per-node="$gpus_per_node"); fi
if [[ ${account:-} ]]; then command+=(--account="$account"); fi
if [[ ${partition:-} ]]; then command+=(--partition="$partition"); fi
if [[ ${memory:-} ]]; then command+=(--mem="$memory"); fi
if [[ $script == array ]]; then
  command+=(--array="0-$((pairs - 1))")
  log=$output/logs/%A_%a.log
fi
command+=(--output="$log" "${sbatch_options[@]}" "$root/slurm/$script.sbatch" "$sweep" "${arguments[@]}")

export KVCOMM_ROOT=$root # where the job's script, of which Slurm runs a copy, finds this folder
if [[ $dry_run == yes ]]; then
  printf 'KVCOMM_ROOT=%q%s\n' "$root" "$(printf ' %q' "${command[@]}")"
  exit
fi
command -v sbatch >/dev/null || die "$exit_environment" "there is no sbatch on $(hostname): submit on a login node."
mkdir -p "$output/logs"
"${command[@]}"
say "the job's log is $log; rank N's own is beside it"
