#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes a folder by which Nereid runs on a GPU machine that has no network and no development packages.
#
#   tools/gpu_bundle.sh OUT [--build DIR] [--extra FILE]...
#     OUT        made anew: nereid.tar.xz (stripped programs, libraries and backends, what they need of this system, objects and
#                headers for the backends that are compiled there, bench/gpu) and setup_there.sh
#     --build    the build folder to take from (build)
#     --extra    a file or folder for the unpacked tree, under extra/
#
# There, in a shell:  . OUT/setup_there.sh && nereid version
# tools/gpu_setup_there.sh, which becomes setup_there.sh, says what that does and what it looks for.
set -euo pipefail
cd "$(dirname "$0")/.."

build=build extras=()
out=${1:?usage: tools/gpu_bundle.sh OUT [--build DIR] [--extra FILE]...}
shift
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$2 ;;
    --extra) extras+=("$2") ;;
    *) echo "gpu_bundle: unknown option $1" >&2; exit 2 ;;
  esac
  shift 2
done
[ -x "$build/bin/nereid" ] || { echo "gpu_bundle: $build/bin/nereid is not there; run make" >&2; exit 1; }

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/nereid

# ---- programs and libraries -----------------------------------------------------------------------------------------
python3 tests/gpu/bundle.py "$build" "$tree" >&2
mkdir -p "$tree"/{bench,link,source,tests}
for program in load client graph_hop graph_infer core_path trt_bare mix devices; do
  [ ! -x "$build/bench/$program" ] || strip -o "$tree/bench/$program" "$build/bench/$program"
done

# ---- what is compiled there -----------------------------------------------------------------------------------------
# torch_shim.cc sees PyTorch's headers; all else of its backend travels as objects.
mkdir -p "$tree/link/pytorch"
for file in backends/pytorch/*.c; do
  object=$build/obj/${file%.c}.o
  [ -e "$object" ] || make -s B="$build" "$object" >&2 # without a PyTorch here, make had no use for it
  cp "$object" "$tree/link/pytorch/"
done
mkdir -p "$tree/link/common"
for file in backends/common/*.c; do cp "$build/obj/${file%.c}.o" "$tree/link/common/"; done
cp "$build"/a/lib{gpu,tensor,base}.a "$tree/link/"
find "$tree/link" -type f -exec strip --strip-debug {} +
cp --parents -r include backends/common/backend.map "$tree/source/"
find src backends \( -name '*.h' -o -name '*.hh' -o -path 'backends/pytorch/*.cc' \) -exec cp --parents -t "$tree/source/" {} +

# ---- checks ---------------------------------------------------------------------------------------------------------
cp -r bench/gpu "$tree/bench/"
cp -r tests/gpu tests/servers.py "$tree/tests/"
rm -f "$tree"/tests/gpu/*.[ch]
find "$tree" -name __pycache__ -prune -exec rm -rf {} +
for extra in ${extras[@]+"${extras[@]}"}; do mkdir -p "$tree/extra" && cp -rL "$extra" "$tree/extra/"; done
git rev-parse HEAD >"$tree/commit" 2>/dev/null || echo unknown >"$tree/commit"

rm -rf "$out"
mkdir -p "$out"
tar -C "$tree" -cf - . | xz -3 -T0 >"$out/nereid.tar.xz"
cp tools/gpu_setup_there.sh "$out/setup_there.sh"
du -sh "$out" | cut -f1
