#!/bin/sh
# What an idle guest costs, ours and QEMU's:
#   idle.sh BUILD [SECONDS]
# The guest sleeps at the end of its boot.  After 3 seconds to settle: host CPU
# time of the process over SECONDS (default 20), in per cent of one processor,
# and its resident memory apart from the guest's RAM.  With one and two vCPUs.
set -eu
build=$1
seconds=${2:-20}
here=$(cd "$(dirname "$0")" && pwd)
g=$build/guest
append="console=ttyS0 quiet script=bench-idle"
log=$(mktemp)
pid=
trap 'stop; rm -f "$log"' EXIT

stop() {
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
	[ -z "$pid" ] || wait "$pid" 2>/dev/null || true
	pid=
}

# User and system time in clock ticks; the name in parentheses may hold spaces.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

settled() {
	n=0
	until grep -q "bench idle" "$log"; do
		n=$((n + 1))
		if [ "$n" -gt 120 ] || ! kill -0 "$pid" 2>/dev/null; then
			echo "$1 did not boot:" >&2
			tail -n 5 "$log" >&2
			exit 1
		fi
		sleep 1
	done
	sleep 3
}

one() { # name, command...
	name=$1
	shift
	: >"$log"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	settled "$name"
	before=$(ticks "$pid")
	sleep "$seconds"
	after=$(ticks "$pid")
	mib=$(python3 "$here/rss.py" "$pid")
	awk -v n="$name" -v t=$((after - before)) -v s="$seconds" \
		-v hz="$(getconf CLK_TCK)" -v m="$mib" 'BEGIN {
		printf "%-10s idle CPU %6.2f %%   memory besides RAM %7.1f MiB\n",
			n, 100 * t / hz / s, m }'
	stop
}

for cpus in 1 2; do
	one "bhyve/$cpus" "$build/src/cmd/bhyve" -E soft -c $cpus -m 512M -H \
		-s 0,hostbridge -s 31,lpc -l com1,stdio --kernel "$g/vmlinuz" \
		--initrd "$g/initrd.img" --append "$append" idle
	one "qemu/$cpus" qemu-system-x86_64 -M q35 -accel tcg,thread=multi \
		-cpu max -smp $cpus -m 512 -nographic -no-reboot -nodefaults \
		-serial stdio -kernel "$g/vmlinuz" -initrd "$g/initrd.img" \
		-append "$append"
done
