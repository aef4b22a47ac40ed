#!/usr/bin/env bash
# The whole pipeline once, in worlds of 1 and 2, with AddressSanitizer and UndefinedBehaviorSanitizer:
# builds the preset 'asan' and runs the golden answers with it. For ctest's label nightly.
set -euo pipefail
root=$1
python=$2
cd "$root"
cmake --preset asan
cmake --build --preset asan --target kvcomm -j 2
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0 UBSAN_OPTIONS=print_stacktrace=1
exec "$python" tests/system/golden_test.py "$root" "$root/build-asan"
