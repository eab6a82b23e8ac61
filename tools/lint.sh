#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rules that a machine can keep: include directions, banned calls, headers that compile alone (C and C++), format.
# A check whose tool is not installed is named at the end, and makes the result fail when CI is set.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
skipped=()
fail() { echo "lint: $*" >&2; failed=1; }

python3 tools/check_includes.py || failed=1

sources=$(git ls-files 'src/*.c' 'src/*.h' 'backends/*.c' 'backends/*.h' 'include/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c' 'backends/*.cc' 'tests/*.cc')

# Banned calls (comments and texts are taken out first by a plain rule: the name must be followed by a parenthesis).
banned='\b(sprintf|strcpy|strcat|gets|atoi|atol|strtok|alloca)[[:space:]]*\('
grep -nE "$banned" $(echo "$sources" | grep -v '^$') && fail "banned calls above"
raw='(^|[^_[:alnum:]])(malloc|calloc|realloc|free)[[:space:]]*\('
grep -nE "$raw" $(echo "$sources" | grep -E '^(src|backends)/' | grep -v '^src/base/') | grep -vE '^[^:]*:[0-9]*:[[:space:]]*(//|\*)' && fail "raw allocation above: use base/mem.h"
grep -nE '\b(TODO|FIXME|XXX)\b' $sources && fail "unfinished marks above"
for file in $sources; do
    head -1 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || fail "$file: first line must be the licence"
done

# Each header compiles alone; the public ones also as C++.
gen=$(mktemp -d)
mkdir -p "$gen/proto"
for proto in src/proto/*.proto; do
    [ -e "$proto" ] && protoc-c --c_out="$gen/proto" --proto_path=src/proto "$proto"
done
for header in $(echo "$sources" | grep '\.h$'); do
    gcc -std=gnu17 -D_GNU_SOURCE -Isrc -Iinclude -I. -I"$gen" -I"$gen/proto" -fsyntax-only -x c "$header" -Wno-pragma-once-outside-header || fail "$header does not compile alone"
done
for header in $(echo "$sources" | grep '^include/.*\.h$'); do
    g++ -std=c++17 -Iinclude -fsyntax-only -x c++ "$header" || fail "$header does not compile alone as C++"
done
rm -rf "$gen"

if command -v clang-format >/dev/null; then
    clang-format --dry-run -Werror $sources 2>/tmp/lint-format.$$ || { head -20 /tmp/lint-format.$$; fail "format: run clang-format -i on the files above"; }
    rm -f /tmp/lint-format.$$
else
    skipped+=(clang-format)
fi
if command -v cppcheck >/dev/null; then
    cppcheck --quiet --std=c11 --error-exitcode=1 --enable=warning,portability --inline-suppr --suppressions-list=tools/cppcheck.txt \
        -D_GNU_SOURCE -Isrc -Iinclude -I. $(echo "$sources" | grep -E '^(src|backends)/.*\.c$') || fail "cppcheck"
else
    skipped+=(cppcheck)
fi
for tool in "${skipped[@]+"${skipped[@]}"}"; do
    echo "lint: skipped $tool: not installed"
done
[ ${#skipped[@]} -gt 0 ] && [ -n "${CI:-}" ] && failed=1
[ $failed -eq 0 ] && echo "lint: clean"
exit $failed
