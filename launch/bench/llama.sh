#!/usr/bin/env bash
# llama.cpp's llama-bench, and the demo's model as GGUF in both types -> .bench-peers/
# Taken from the source package llama-cpp-python; each step is skipped where it is done.
set -Eeuo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"
cd "$root"

readonly release=0.3.36 peers=.bench-peers python=.venv-bench/bin/python
readonly sources=$peers/llama_cpp_python-$release/vendor/llama.cpp log=$peers/llama.log
readonly model=models/HuggingFaceTB/SmolLM2-135M-Instruct
trap 'die "$exit_environment" "llama-bench could not be made, so nothing is compared with it: see $log"' ERR

fetch_sources() {
  [[ -d $sources ]] && return
  say "fetching llama.cpp (77 MB)"
  "$python" -m pip download --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
    --dest "$peers" "llama-cpp-python==$release" >>"$log" 2>&1
  tar -xzf "$peers/llama_cpp_python-$release.tar.gz" -C "$peers" >>"$log" 2>&1
  rm "$peers/llama_cpp_python-$release.tar.gz"
}

# For this processor: on another one it would be slower than it could be, or not run. With its own
# threads, since OpenMP's would heed the environment; without a web server and the network.
build() {
  local now stamp=$peers/.built
  now="$release $(grep -m 1 -E '^(flags|Features)' /proc/cpuinfo | sha256sum)"
  [[ -x $peers/llama-bench && $(cat "$stamp" 2>/dev/null) == "$now" ]] && return
  say "building llama-bench (5 to 10 minutes)"
  rm -rf "$peers/build"
  cmake -S "$sources" -B "$peers/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
    -DGGML_NATIVE=ON -DGGML_OPENMP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_USE_PREBUILT_UI=OFF >>"$log" 2>&1
  cmake --build "$peers/build" --target llama-bench -j "$(build_jobs)" >>"$log" 2>&1
  cp "$peers/build/bin/llama-bench" "$peers/llama-bench"
  rm -rf "$peers/build"
  echo "$now" >"$stamp"
}

# convert DTYPE OUTTYPE: by llama.cpp's own script.
convert() {
  local gguf=$peers/$1.gguf
  [[ $gguf -nt $model/model.safetensors ]] && return
  say "writing $gguf"
  if [[ ! -d $peers/python/sentencepiece ]]; then # which that script asks for
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$peers/python" \
      sentencepiece==0.2.3 >>"$log" 2>&1
  fi
  PYTHONPATH=$peers/python "$python" -B "$sources/convert_hf_to_gguf.py" --outtype "$2" \
    --outfile "$gguf.part" "$model" >>"$log" 2>&1
  mv "$gguf.part" "$gguf"
}

mkdir -p "$peers"
: >"$log"
fetch_sources
build
convert float32 f32
convert bfloat16 bf16
