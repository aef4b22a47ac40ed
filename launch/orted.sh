#!/usr/bin/env bash
# What launch/hosts.sh lets mpirun start on the other hosts: Open MPI's daemon, which is ended where it
# does not end though its ranks have.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

setsid orted "$@" <&0 &
daemon=$!
await_job "$daemon"
wait "$daemon"  # for its exit code
