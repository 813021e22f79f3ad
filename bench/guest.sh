#!/bin/sh
# The same static program natively, under QEMU TCG and under bhyve's software CPU,
# in turn, several times:
#   guest.sh BUILD [RUNS]
# Rows made for one processor run with -c 1, those made for two with -c 2 (their
# names end in /2).  Prints medians, ratios, and the rate of guest instructions for
# some rows; see README.md here.  Status 1: a checksum differs or a row is missing.
# ROWS="a b" limits the rows; RATE= (empty) leaves the last table out.
set -eu
build=$1
runs=${2:-3}
here=$(cd "$(dirname "$0")" && pwd)
g=$build/guest
out=$build/bench
rate=${RATE-xorshift sieve-8M qsort fib chase-64K crc-table lock-xadd}
mkdir -p "$out"
rm -f "$out"/*.rows

prepare() {
	"${CC:-gcc}" -O2 -static -Wall -Wextra -o "$out/bench" \
		"$here/guest/bench.c" -lm -pthread
	python3 "$here/../tools/mkinitramfs.py" "$out/initrd.img" "$g/busybox" \
		"$here/../tools/initramfs" "bin/bench=$out/bench"
}

# The rows for N processors, comma-separated.
rows_for() {
	"$out/bench" -l | awk -v n="$1" -v want=" ${ROWS:-} " '
		(int($2 / n) % 2) && (want ~ /^ *$/ || index(want, " " $1 " ")) {
			printf "%s%s", sep, $1; sep = "," }'
}

ours() { # processors, rows, further arguments
	cpus=$1 list=$2
	shift 2
	"$build/src/cmd/bhyve" -E soft -c "$cpus" -m 512M -H -s 0,hostbridge \
		-s 31,lpc -l com1,stdio --kernel "$g/vmlinuz" \
		--initrd "$out/initrd.img" "$@" --append \
		"console=ttyS0 quiet script=bench-rows rows=$list" bench || true
}

qemu() { # processors, rows
	qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max -smp "$1" \
		-m 512 -nographic -no-reboot -nodefaults -serial stdio \
		-kernel "$g/vmlinuz" -initrd "$out/initrd.img" \
		-append "console=ttyS0 quiet script=bench-rows rows=$2" || true
}

native() { # processors, rows
	if [ "$1" = 1 ]; then
		taskset -c 0 "$out/bench" $(echo "$2" | tr ',' ' ')
	else
		"$out/bench" $(echo "$2" | tr ',' ' ')
	fi
}

# Run one of the three and keep its rows as "ENGINE CPUS NAME SECONDS SUM COUNT".
measure() { # engine, processors, rows
	"$1" "$2" "$3" 2>"$out/stderr" </dev/null | tr -d '\r' >"$out/raw"
	awk -v e="$1" -v c="$2" 'NF == 4 && $3 ~ /^[0-9a-f]+$/ && length($3) == 16 {
		print e, c, $0 }' "$out/raw" >>"$out/times.rows"
}

# Instructions of a run that does only these rows, boot and power-off included.
instructions() { # rows
	ours 1 "$1" -o stats=true 2>&1 </dev/null | tr -d '\r' >"$out/raw"
	sed -n 's/.*guest instructions executed[^0-9]*\([0-9]*\).*/\1/p' \
		"$out/raw" | head -n 1
}

rates() {
	[ -n "$rate" ] || return 0
	boot=$(instructions "")
	for row in $rate; do
		n=$(instructions "$row")
		awk -v r="$row" -v n="$n" -v b="$boot" '$1 == r && NF == 4 {
			print r, n - b, $2 }' "$out/raw" >>"$out/rate.rows"
	done
}

prepare
one=$(rows_for 1)
two=$(rows_for 2)
n=0
while [ "$n" -lt "$runs" ]; do
	for engine in native qemu ours; do
		[ -z "$one" ] || measure $engine 1 "$one"
		[ -z "$two" ] || measure $engine 2 "$two"
	done
	n=$((n + 1))
	echo "run $n of $runs done, load $(cut -d' ' -f1 /proc/loadavg)" >&2
done
rates
status=0
python3 "$here/table.py" "$out" || status=1
exit "$status"
