#!/usr/bin/env bash
# Seconds per sample of every method beside plain transformers on this CPU, tokens per second beside
# llama.cpp, reading data sets beside Python's json, and which targets are met -> results/benchmarks/
#   launch/bench.sh [--methods kvcomm nld ...] [--samples 16] [--repeats 3] [--threads 2]
#                   [--only REGEX of cases] [--data FOLDER] [--output FOLDER]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

case " $* " in
  *" -h "* | *" --help "*) sed -n '2,5s/^# //p' "$0" && exit ;;
esac

readonly venv=.venv-bench requirements=launch/bench/requirements.txt

is_complete() {
  "$venv/bin/python" - "$requirements" 2>/dev/null <<'EOF'
import sys
from importlib.metadata import version
pins = [line.split("==") for line in open(sys.argv[1]).read().split("\n") if "==" in line]
sys.exit(any(version(name) != pinned for name, pinned in pins))
EOF
}

# Apart from .venv: Python's torch and transformers need gigabytes that the program does not.
install_venv() {
  is_complete && return
  say "installing torch and transformers into $venv (5 GB, 3 to 10 minutes)"
  local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
  "${pip[@]}" --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv --clear "$venv"
  "${pip[@]}" install --requirement "$requirements"
}

launch/setup.sh kvcomm
launch/setup.sh read_dataset
install_venv
say "measuring (--methods, --only and --repeats shorten it)"
exec "$venv/bin/python" launch/bench/bench.py "$@"
