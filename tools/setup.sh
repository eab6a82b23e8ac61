#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what a target needs, and nothing that is there already:
#   tools/setup.sh build            compiler, libraries (Debian, Ubuntu)
#   tools/setup.sh lint             the same, and what tools/lint.sh runs
#   tools/setup.sh demo|test DIR    the same, and a Python environment in DIR/venv with pinned packages; the ONNX
#                                   Runtime library goes to DIR/lib/nereid/onnxruntime; `test` also unpacks the peer
#                                   server (nvidia-pytriton) and perf_analyzer to DIR/peer, to compare with, and brings
#                                   the frameworks of the other backends: libtorch of Debian (130 MB to download), and
#                                   TensorFlow to DIR/frameworks (280 MB, 1 GB on disk). FRAMEWORKS=none does without
#                                   them: what needs them is not built, and its tests are skipped by name.
#   tools/setup.sh tensorrt DIR TAG|FOLDER...   the same as build, and TensorRT's headers to DIR/frameworks/tensorrt, of those tags of
#                                   NVIDIA's open-source repository (8.5.3, v10.16) or from a folder that has them
#   tools/setup.sh onnxruntime-gpu DIR
#                                   on a machine with an NVIDIA GPU: the same as demo, but ONNX Runtime has the CUDA execution
#                                   provider, with the libraries of CUDA 13 and cuDNN 9 that it needs (1.5 GB to download, 3 GB
#                                   on disk, in DIR/frameworks). It stays when demo or test is set up later. Needs a driver for
#                                   CUDA 13 (580 or newer).
# Root, or sudo, is asked for only when a package is missing.
set -euo pipefail
what=${1:?usage: setup.sh build|lint|demo|test|tensorrt|onnxruntime-gpu [DIR]}
dir=${2:-build}
here=$(cd "$(dirname "$0")" && pwd)

packages=(gcc make pkg-config libc6-dev libevent-dev libnghttp2-dev libssl-dev zlib1g-dev libprotobuf-c-dev
          protobuf-c-compiler protobuf-compiler libyaml-dev libjpeg-dev libpng-dev
          libavformat-dev libavcodec-dev libavutil-dev libswscale-dev)
case $what in
build) ;;
lint) packages+=(python3 git g++ clang-format cppcheck) ;;
demo|onnxruntime-gpu) packages+=(python3 python3-venv curl ca-certificates) ;;
test) packages+=(python3 python3-venv libpython3-dev curl ca-certificates libcmocka-dev git unzip g++ cmake binutils procps xvfb)
      [ "${FRAMEWORKS:-}" = none ] || packages+=(libtorch-dev) ;;
tensorrt) packages+=(g++ git ca-certificates) ;;
*) echo "setup.sh: unknown target '$what'" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [ "${state:0:2}" = ii ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
[ "$what" = build ] || [ "$what" = lint ] && exit 0

# TensorRT's headers: not ours to keep in the repository, so they are fetched. The parser's header came with them from 10.1 on; before, it is
# in the parser's own repository.
if [ "$what" = tensorrt ]; then
    source=${TENSORRT_GIT:-https://github.com/NVIDIA/TensorRT}
    parser=${ONNX_TENSORRT_GIT:-https://github.com/onnx/onnx-tensorrt}
    for tag in "${@:3}"; do
        to="$dir/frameworks/tensorrt/$(basename "$tag")/include"
        mkdir -p "$to"
        if [ -d "$tag" ]; then
            headers=$(find -L "$tag" -maxdepth 3 -name NvInfer.h -print -quit)
            cp -r "$(dirname "${headers:?no NvInfer.h in $tag}")"/Nv*.h "$to/"
            cp -r "$(dirname "$headers")/impl" "$to/" 2>/dev/null || true
            continue
        fi
        clone=$(mktemp -d)
        git -c advice.detachedHead=false clone -q --depth 1 --filter=blob:none --no-checkout --branch "$tag" "$source" "$clone/tensorrt"
        git -C "$clone/tensorrt" archive HEAD include | tar -x -C "$to" --strip-components=1
        if [ ! -e "$to/NvOnnxParser.h" ]; then
            release=$(echo "${tag#v}" | cut -d. -f1,2)
            git -c advice.detachedHead=false clone -q --depth 1 --branch "release/$release-GA" "$parser" "$clone/parser" 2>/dev/null ||
                git clone -q --depth 1 --branch "$release" "$parser" "$clone/parser"
            cp "$clone/parser/NvOnnxParser.h" "$to/"
        fi
        rm -rf "$clone"
        echo "TensorRT's headers of $tag in $to"
    done
    exit 0
fi

# The Python environment, made anew when a pin changes.
python=${PYTHON:-python3}
gpu=
[ "$what" != onnxruntime-gpu ] || { gpu=1 what=demo; }
wanted=$(cat "$here"/requirements/*.txt | sha256sum | cut -c1-16)-$what
if [ "$(cat "$dir/venv/.made" 2>/dev/null)" != "$wanted" ] && [ "$(cat "$dir/venv/.made" 2>/dev/null)" != "${wanted%-*}-test" ]; then
    echo "making a Python environment in $dir/venv"
    rm -rf "$dir/venv"
    mkdir -p "$dir"
    "$python" -m venv "$dir/venv"
    "$dir/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements/$what.txt"
    echo "$wanted" >"$dir/venv/.made"
fi

# ONNX Runtime's library out of its Python package, where the onnxruntime backend looks first; in its place, where it was asked for,
# the one with the CUDA provider, and beside it links to the CUDA libraries, which the backend opens from there.
place=$dir/lib/nereid/onnxruntime
mkdir -p "$place"
wanted=$(sha256sum <"$here/frameworks/onnxruntime-gpu.txt" | cut -c1-16)
if [ -n "$gpu" ] && [ "$(cat "$place/.gpu" 2>/dev/null)" != "$wanted" ]; then
    echo "installing ONNX Runtime for GPUs to $dir/frameworks (1.5 GB to download, 3 GB on disk)"
    rm -rf "$dir/frameworks/onnxruntime-gpu" "$place"
    "$dir/venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: \
        --target "$dir/frameworks/onnxruntime-gpu" -r "$here/frameworks/onnxruntime-gpu.txt"
    mkdir -p "$place"
    for library in "$dir"/frameworks/onnxruntime-gpu/onnxruntime/capi/libonnxruntime*.so* \
        $(find "$dir/frameworks/onnxruntime-gpu/nvidia" -name 'lib*.so.*'); do
        ln -sfn "../../../frameworks/${library#"$dir"/frameworks/}" "$place/$(basename "$library")"
    done
    ln -sfn "$(basename "$place"/libonnxruntime.so.*)" "$place/libonnxruntime.so.1"
    echo "$wanted" >"$place/.gpu"
fi
library=$(echo "$dir"/venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*)
[ -e "$place/.gpu" ] || cmp -s "$library" "$place/libonnxruntime.so.1" || install -m 755 "$library" "$place/libonnxruntime.so.1"
[ "$what" = demo ] && exit 0

# TensorFlow, with its library where the tensorflow backend looks first.
wanted=$(sha256sum <"$here/frameworks/tensorflow.txt" | cut -c1-16)
if [ "${FRAMEWORKS:-}" != none ] && [ "$(cat "$dir/frameworks/.tensorflow" 2>/dev/null)" != "$wanted" ]; then
    echo "installing TensorFlow to $dir/frameworks (280 MB to download, 1 GB on disk)"
    rm -rf "$dir/frameworks/tensorflow"
    if "$dir/venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: \
        --target "$dir/frameworks/tensorflow" -r "$here/frameworks/tensorflow.txt"; then
        rm -rf "$dir/frameworks/tensorflow/tensorflow/include"
        mkdir -p "$dir/lib/nereid/tensorflow"
        for library in libtensorflow_cc.so.2 libtensorflow_framework.so.2; do
            ln -sfn "../../../frameworks/tensorflow/tensorflow/$library" "$dir/lib/nereid/tensorflow/$library"
        done
        echo "$wanted" >"$dir/frameworks/.tensorflow"
    else
        echo "no TensorFlow for this Python: the tests of the tensorflow backend will skip" >&2
    fi
fi

# The peer: NVIDIA's server as its package carries it, and perf_analyzer with the two libraries that it wants.
if [ ! -e "$dir/peer/.made" ]; then
    echo "unpacking the peer server to $dir/peer"
    rm -rf "$dir/peer"
    mkdir -p "$dir/peer/wheels"
    "$dir/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$dir/peer/wheels" nvidia-pytriton==0.7.0 tritonclient==2.47.0
    unzip -q -o "$dir"/peer/wheels/nvidia_pytriton-*.whl -d "$dir/peer"
    unzip -q -o "$dir"/peer/wheels/tritonclient-2.47.0-*.whl -d "$dir/peer/perf"
    chmod +x "$dir"/peer/pytriton/tritonserver/bin/* "$dir"/peer/pytriton/tritonserver/python_backend_stubs/*/*
    perf=$(find "$dir/peer/perf" -name perf_analyzer -type f | head -1)
    install -D -m 755 "$perf" "$dir/peer/bin/perf_analyzer"
    mkdir -p "$dir/peer/perf_lib"
    ln -sf "$(cd "$dir"/peer/nvidia_pytriton.libs && pwd)"/libcudart-*.so.12* "$dir/peer/perf_lib/libcudart.so.12"
    ln -sf "$(cd "$dir"/peer/nvidia_pytriton.libs && pwd)"/libb64-*.so.0d "$dir/peer/perf_lib/libb64.so.0d"
    rm -rf "$dir/peer/wheels" "$dir/peer/perf"
    touch "$dir/peer/.made"
fi

# The peer's Python backend, which a test runs in our server, needs a NumPy of its day.
if [ ! -e "$dir/peer/python/numpy" ]; then
    "$dir/venv/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: --target "$dir/peer/python" numpy==1.26.4 ||
        echo "no NumPy 1.26 for this Python: tests/api/test_wall_peer_backend.py will skip" >&2
fi

# Holoscan, which reads our recordings and writes some for us; without what it needs only on GPUs.
wanted=$(sha256sum <"$here/frameworks/holoscan.txt" | cut -c1-16)
if [ "${FRAMEWORKS:-}" != none ] && [ "$(cat "$dir/peer-holoscan/.made" 2>/dev/null)" != "$wanted" ]; then
    echo "installing Holoscan to $dir/peer-holoscan (60 MB to download, 215 MB on disk)"
    rm -rf "$dir/peer-holoscan"
    "$python" -m venv "$dir/peer-holoscan"
    if "$dir/peer-holoscan/bin/pip" install -q --disable-pip-version-check --no-deps --only-binary=:all: -r "$here/frameworks/holoscan.txt"; then
        echo "$wanted" >"$dir/peer-holoscan/.made"
    else
        echo "no Holoscan for this Python: tests/conformance/test_*_vs_holoscan.py will skip" >&2
    fi
fi
