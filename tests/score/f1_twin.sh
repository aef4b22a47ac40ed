#!/bin/sh
# f1_twin.sh PYTHON SCORE_LINES: runs f1_twin.py, or skips loudly (77) where there is no such Python.
if [ ! -x "$1" ]; then
  echo "SKIPPED: no Python at '$1' (launch/setup.sh makes the virtual environment)."
  exit 77
fi
exec "$1" "$(dirname "$0")/f1_twin.py" "$2"
