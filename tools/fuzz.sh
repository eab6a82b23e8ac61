#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fuzzes: tools/fuzz.sh SECONDS TARGET...   (targets are tests/fuzz/fuzz_*.c without folder and ending)
#
# Builds everything under clang with AddressSanitizer and coverage into build-fuzz/, then runs each target for so many
# seconds from its corpus. Inputs that add coverage go to build-fuzz/corpus/, what breaks a target to build-fuzz/found/;
# copy from there into tests/fuzz/corpus/ what is worth keeping (and what was found, with its fix).
set -eu
seconds=$1
shift
if ! command -v clang >/dev/null 2>&1; then
    echo "fuzzing needs clang" >&2
    exit 1
fi
build=build-fuzz
libs="protocol net graph page client image gpu core config proto tensor base"
# Parsers that are a backend's own are in no library.
own="$build/obj/backends/tensorflow/tf_proto.o $build/obj/backends/pytorch/torch_spec.o"
objects=$own
for target in "$@"; do objects="$objects $build/obj/tests/fuzz/$target.o"; done
archives=
for lib in $libs; do
    if [ -d "src/$lib" ]; then archives="$archives $build/a/lib$lib.a"; fi
done
# shellcheck disable=SC2086
make --no-print-directory -j2 B=$build CC=clang SAN=asan CFLAGS="-fsanitize=fuzzer-no-link" $archives $objects
mkdir -p $build/found
failed=
for target in "$@"; do
    name=${target#fuzz_}
    mkdir -p "$build/corpus/$name"
    # shellcheck disable=SC2086
    clang -fsanitize=fuzzer,address -pthread -o "$build/$target" "$build/obj/tests/fuzz/$target.o" $own \
        -Wl,--start-group $archives -Wl,--end-group -lyaml -ljpeg -lpng -lprotobuf-c -levent_core -lnghttp2 -lssl -lcrypto -lz -lm -ldl
    echo "== $target for $seconds s"
    "$build/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/found/$name-" "$build/corpus/$name" "tests/fuzz/corpus/$name" \
        >"$build/$target.log" 2>&1 || failed="$failed $target"
    grep -E '^(stat::number_of_executed_units|stat::new_units_added|SUMMARY|==[0-9]+==ERROR)' "$build/$target.log" || true
done
if [ -n "$failed" ]; then
    echo "FAILED:$failed (logs and inputs are in $build/)"
    exit 1
fi
echo "all targets held"
