#!/bin/sh
# `make fuzz`: every libFuzzer target for SECONDS each (default 60), starting from
# the corpus in the tree; new findings stay in BUILD/findings.
#   fuzz.sh BUILD [SECONDS]
set -eu
build=$1
seconds=${2:-60}
[ -f "$build/build.ninja" ] ||
	CC=clang meson setup "$build" -Dfuzz=true -Db_lundef=false >/dev/null
ninja -C "$build" >/dev/null
mkdir -p "$build/findings"
# What was freed comes back after 4 MB instead of 256: an input makes a machine,
# and pages that are new each time would cost more than the input.
ASAN_OPTIONS=quarantine_size_mb=4:thread_local_quarantine_size_kb=64:${ASAN_OPTIONS:-}
export ASAN_OPTIONS
failed=0 passed=0
for exe in "$build"/tests/fuzz/fuzz_*; do
	[ -x "$exe" ] && [ -f "$exe" ] || continue
	name=${exe##*/fuzz_}
	mkdir -p "$build/corpus/$name"
	echo "== $name, $seconds s"
	if "$exe" -max_total_time="$seconds" -print_final_stats=1 \
		-artifact_prefix="$build/findings/$name-" "$build/corpus/$name" \
		"tests/fuzz/corpus/$name" 2>&1 | tail -8; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
done
ls "$build/findings" | grep -q . && failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
