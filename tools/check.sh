#!/bin/sh
# `make check`: every suite, then the suites that touch untrusted bytes and threads
# again under sanitizers.  Ends with one line of totals.
#   check.sh BUILD
set -u
build=$1
MESON=${MESON:-meson}
log=$build/check.log
: >"$log"

# One build folder a configuration, kept for the next time.
configure() { # folder, sanitizers
	[ -f "$1/build.ninja" ] && return
	"$MESON" setup "$1" -Db_sanitize="$2" -Db_lundef=false >/dev/null
}

run() { # folder, label, suites...
	dir=$1 label=$2
	shift 2
	echo "== $label"
	# shellcheck disable=SC2046
	ninja -C "$dir" $(python3 tools/test-targets.py "$dir" "$@") \
		>"$dir/ninja.log" 2>&1 || {
		tail -40 "$dir/ninja.log"
		echo "FAIL build of $label" >>"$log"
		return
	}
	suites=
	for s in "$@"; do suites="$suites --suite $s"; done
	# shellcheck disable=SC2086
	"$MESON" test -C "$dir" --no-rebuild --print-errorlogs $suites
	python3 tools/test-totals.py "$dir/meson-logs/testlog.json" >>"$log"
}

run "$build" "all suites" lint unit dev cpu library guest cli boot fuzz kvm
if [ "${SANITIZE:-yes}" = yes ]; then
	configure "$build-asan" address,undefined
	run "$build-asan" "address and undefined-behaviour sanitizers" \
		unit dev cpu library cli fuzz threads
	configure "$build-tsan" thread
	run "$build-tsan" "thread sanitizer" unit dev library threads
fi

awk '
	/^FAIL/ { print; failed++ }
	/^  / { print }
	/^passed/ { passed++ }
	/^skipped/ { print; skipped++ }
	/^known/ { known += $2 }
	/^flaky/ { print; flaky++ }
	END {
		printf "%d passed, %d failed", passed, failed
		if (skipped) printf ", %d skipped", skipped
		if (known) printf ", %d known differences of kvm", known
		if (flaky) printf ", %d flaky in one machine of QEMU", flaky
		print ""
		exit failed > 0 || passed == 0
	}' "$log"
