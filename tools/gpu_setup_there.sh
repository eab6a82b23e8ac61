# SPDX-License-Identifier: Apache-2.0
# Sourced by bash on a GPU machine, from a folder that tools/gpu_bundle.sh made:  . FOLDER/setup_there.sh
#
# Unpacks into $NEREID (/tmp/nereid), joins carried pieces, links the frameworks that it finds, compiles the backends that need
# their headers, and sets NEREID, PATH and LD_LIBRARY_PATH. A second call does only what changed. Looks for
#   PyTorch          the torch of `python3`
#   ONNX Runtime     pieces, then $ORT_DIR (/tmp/ort: what the wheel onnxruntime-gpu holds), then the onnxruntime of `python3`
#   TensorRT         pieces, then $TRT_DIR (/tmp/trt: libnvinfer.so.N and what is beside it)
#   pieces           part.ort.NN and part.trt.NN in ./.dev_p*: slices of a .tar.xz, how many in count.NAME, its sum in sha.NAME.
#                    They may come by several calls: what is there is kept in /tmp/pieces until a set is whole.
# Says in one line each what is there; what is missing is no failure, the checks say so themselves.
export NEREID=${NEREID:-/tmp/nereid}
export ORT_DIR=${ORT_DIR:-/tmp/ort} TRT_DIR=${TRT_DIR:-/tmp/trt}
nrd_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

nrd_unpack() {
  local sum
  sum=$(sha256sum <"$nrd_here/nereid.tar.xz")
  if [ "$(cat "$NEREID/bundle.sum" 2>/dev/null)" != "$sum" ]; then
    mkdir -p "$NEREID"
    # A backend that was compiled here stays while its sources are the same (nrd_compile looks).
    find "$NEREID" -mindepth 1 -maxdepth 1 ! -name compiled -exec rm -rf {} +
    xz -dc -T0 "$nrd_here/nereid.tar.xz" | tar -C "$NEREID" -xf - || return 1
    echo "$sum" >"$NEREID/bundle.sum"
  fi
  # Only what this system lacks: a second libcrypto in front of the system's would be found by every program.
  rm -rf "$NEREID/lib/missing"
  mkdir -p "$NEREID/lib/missing"
  local have file
  have=$(ldconfig -p)
  for file in "$NEREID"/lib/carried/*; do
    case $have in *"$(basename "$file") "*) ;; *) ln -s "$file" "$NEREID/lib/missing/" ;; esac
  done
}

nrd_join() { # NAME FOLDER
  local name=$1 folder=$2 count part
  mkdir -p /tmp/pieces
  for part in .dev_p*/part."$name".* .dev_p*/count."$name" .dev_p*/sha."$name"; do
    [ -e "$part" ] && cp -u "$part" /tmp/pieces/
  done
  [ -e "/tmp/pieces/count.$name" ] || return 0
  [ "$(cat "$folder/joined" 2>/dev/null)" = "$(cat "/tmp/pieces/sha.$name")" ] && return 0
  count=$(find /tmp/pieces -name "part.$name.*" | wc -l)
  if [ "$count" != "$(cat "/tmp/pieces/count.$name")" ]; then
    echo "setup: $name: $count of $(cat "/tmp/pieces/count.$name") pieces so far"
    return 0
  fi
  if [ "$(cat /tmp/pieces/part."$name".* | sha256sum | cut -d' ' -f1)" != "$(cat "/tmp/pieces/sha.$name")" ]; then
    echo "setup: $name: the pieces do not make the whole" >&2
    return 0
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cat /tmp/pieces/part."$name".* | xz -dc -T0 | tar -C "$folder" -xf - && cp "/tmp/pieces/sha.$name" "$folder/joined" &&
    rm -f /tmp/pieces/part."$name".*
}

# TensorRT's parser links its plugins, and those of release 8 the cuBLAS and cuDNN of CUDA 11, which newer machines lack. Plans that were
# built without these tactic sources never call them, so that libraries whose every function fails do.
nrd_stand_in() { # FOLDER
  local folder=$1 name
  for name in $(cd "$folder" && LD_LIBRARY_PATH=. ldd ./lib*.so* 2>/dev/null | awk '/libcu.* => not found/ {print $1}' | sort -u); do
    nm -D --undefined-only "$folder"/lib*.so* 2>/dev/null | sed -n "s/^ *U \\([^@]*\\)@$name\$/\\1/p" | sort -u |
      sed 's/.*/int &(void); int &(void) { return 1; }/' >"$folder/stand_in.c"
    echo "$name { global: *; };" >"$folder/stand_in.map"
    gcc -shared -fPIC -Wl,-soname,"$name" -Wl,--version-script="$folder/stand_in.map" -o "$folder/$name" "$folder/stand_in.c" &&
      echo "setup: $name is not here: one that refuses stands in for it"
  done
  rm -f "$folder"/stand_in.*
}

# C++ against a framework's headers, the rest from objects: NAME, flags for the compiler, "--", flags for the linker.
nrd_compile() {
  local name=$1 objects=() jobs=() file sum to=$NEREID/compiled/$1
  local compile=() link=() after=
  shift
  for file in "$@"; do
    if [ "$file" = -- ]; then after=1; elif [ -n "$after" ]; then link+=("$file"); else compile+=("$file"); fi
  done
  sum=$(cat "$NEREID"/source/backends/"$name"/*.{cc,hh,h} "$NEREID"/link/"$name"/*.o "$NEREID"/link/*.a "$NEREID"/link/common/*.o 2>/dev/null | sha256sum)$*
  mkdir -p "$to" "$NEREID/lib/nereid/backends/$name"
  if [ "$(cat "$to/sum" 2>/dev/null)" != "$sum" ]; then
    for file in "$NEREID"/source/backends/"$name"/*.cc; do
      objects+=("$to/$(basename "${file%.cc}").o")
      (cd "$NEREID/source" && exec g++ -D_GNU_SOURCE -Isrc -Iinclude -I. -std=gnu++17 -O2 -fPIC -fvisibility=hidden -pthread "${compile[@]}" \
        -c "$file" -o "$to/$(basename "${file%.cc}").o") &
      jobs+=($!)
    done
    for file in "${jobs[@]}"; do wait "$file" || return 1; done
    g++ -shared -pthread -Wl,-soname,"libtriton_$name.so" -Wl,--version-script="$NEREID/source/backends/common/backend.map" \
      -Wl,--exclude-libs,ALL -o "$to/libtriton_$name.so" "${objects[@]}" "$NEREID"/link/"$name"/*.o "$NEREID"/link/common/*.o \
      "$NEREID"/link/lib{gpu,tensor,base}.a "${link[@]}" -lm -ldl || return 1
    echo "$sum" >"$to/sum"
  fi
  ln -sf "$to/libtriton_$name.so" "$NEREID/lib/nereid/backends/$name/"
}

nrd_setup() {
  nrd_unpack || { echo "setup: cannot unpack" >&2; return 1; }
  nrd_join ort "$ORT_DIR"
  nrd_join trt "$TRT_DIR"
  local torch site cuda_libraries=() paths=$NEREID/lib/missing folder ort='' file
  torch=$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null)
  site=${torch:+$(dirname "$torch")}

  if [ -n "$torch" ] && [ -e "$torch/include/torch/script.h" ]; then
    local cuda=()
    for folder in "$site"/nvidia/*/include /usr/local/cuda/include; do [ -e "$folder/cuda_runtime_api.h" ] && cuda=(-isystem "$folder"); done
    [ ! -e "$torch/lib/libtorch_cuda.so" ] || cuda_libraries=(-ltorch_cuda -lc10_cuda)
    nrd_compile pytorch -D_GLIBCXX_USE_CXX11_ABI="$(nm -D "$torch/lib/libc10.so" | grep -q cxx11 && echo 1 || echo 0)" \
      -isystem "$torch/include" -isystem "$torch/include/torch/csrc/api/include" "${cuda[@]}" -- \
      -L"$torch/lib" -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10 \
      "${cuda_libraries[@]}" -Wl,--as-needed -Wl,-rpath,"$torch/lib" &&
      echo "setup: pytorch against $(sed -n "s/^__version__ = //p" "$torch/version.py")"
    paths=$paths:$torch/lib
  fi
  # The CUDA libraries that frameworks want come with PyTorch.
  for folder in ${site:+"$site"/nvidia/*/lib} /usr/local/cuda/lib64; do [ -d "$folder" ] && paths=$paths:$folder; done

  if [ -d "$ORT_DIR/onnxruntime/capi" ]; then
    ort=$ORT_DIR/onnxruntime/capi
    case :${PYTHONPATH:-}: in *":$ORT_DIR:"*) ;; *) export PYTHONPATH=$ORT_DIR${PYTHONPATH:+:$PYTHONPATH} ;; esac
  elif [ -n "$site" ] && [ -d "$site/onnxruntime/capi" ]; then
    ort=$site/onnxruntime/capi
  fi
  mkdir -p "$NEREID/lib/nereid/onnxruntime"
  for file in ${ort:+"$ort"/libonnxruntime*.so*}; do ln -sf "$file" "$NEREID/lib/nereid/onnxruntime/"; done
  [ -z "$ort" ] || { file=$(find "$ort" -name 'libonnxruntime.so.*' | head -1) && ln -sf "$file" "$NEREID/lib/nereid/onnxruntime/libonnxruntime.so.1"; echo "setup: onnxruntime $(basename "$file")"; }

  if ls "$TRT_DIR"/libnvinfer.so.* >/dev/null 2>&1; then
    paths=$paths:$TRT_DIR
    nrd_stand_in "$TRT_DIR"
    mkdir -p "$NEREID/lib/nereid/tensorrt"
    for file in "$TRT_DIR"/lib*.so*; do ln -sf "$file" "$NEREID/lib/nereid/tensorrt/"; done
    echo "setup: tensorrt $(cd "$TRT_DIR" && ls libnvinfer.so.*)"
  fi
  case :$PATH: in *":$NEREID/bin:"*) ;; *) export PATH=$NEREID/bin:$PATH ;; esac
  export LD_LIBRARY_PATH=$paths
  echo "setup: $("$NEREID/bin/nereid" version 2>&1 | head -1) at commit $(cut -c1-12 "$NEREID/commit"), backends: $(cd "$NEREID/lib/nereid/backends" && echo *)"
}
nrd_setup
