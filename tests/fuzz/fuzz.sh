#!/usr/bin/env bash
# Coverage-guided fuzzing of each reader, with AddressSanitizer and UndefinedBehaviorSanitizer: builds
# the preset 'fuzz' and runs every fuzzer for KVCOMM_FUZZ_S seconds (60), one after the other. For
# ctest's label nightly.
#   tests/fuzz/fuzz.sh ROOT [fuzzer ...]
# What it learns stays in build-fuzz/corpus. An input that a reader does not answer is written to
# build-fuzz/found: mend the reader and keep the input in tests/fuzz/corpus under a name that says what
# it is.
set -euo pipefail
root=$1
shift
command -v clang++-19 >/dev/null || {
  echo "SKIPPED: no clang++-19; apt-get install clang-19 libclang-rt-19-dev"
  exit 77
}
cd "$root"
cmake --preset fuzz
cmake --build --preset fuzz -j 2
cd build-fuzz
export ASAN_OPTIONS=detect_leaks=0:detect_container_overflow=0 UBSAN_OPTIONS=print_stacktrace=1
status=0
(($#)) || set -- data model_config safetensors text tokenizer toml
for name in "$@"; do
  echo "== $name"
  mkdir -p "corpus/$name" found
  seeds=("$root/tests/fuzz/corpus/$name")
  [[ $name != data ]] || seeds+=("$root/tests/data/records")
  "tests/fuzz/${name}_fuzzer" -max_total_time="${KVCOMM_FUZZ_S:-60}" -max_len=4096 -timeout=20 -rss_limit_mb=4096 \
    -verbosity=0 -print_final_stats=1 -artifact_prefix="found/$name-" "corpus/$name" "${seeds[@]}" || status=1
done
exit $status
