#!/bin/sh
# Boot time against QEMU TCG: the same kernel and initramfs, in turn, several times.
#   boot.sh BUILD [RUNS]
# Prints each run, the medians and their ratio.  "init" is the guest's own clock
# when init runs its script, "wall" the whole process from exec to exit.
set -eu
build=$1
runs=${2:-5}
g=$build/guest
append="console=ttyS0 quiet script=bench"

now() { date +%s%N; }
guest_seconds() { sed -n 's/.*bench uptime \([0-9.]*\).*/\1/p' "$1" | head -n 1; }

one() { # name, command...
	name=$1
	shift
	start=$(now)
	"$@" >/tmp/bench.$$ 2>&1 </dev/null || true
	end=$(now)
	wall=$(awk "BEGIN { printf \"%.2f\", ($end - $start) / 1e9 }")
	init=$(guest_seconds /tmp/bench.$$)
	[ -n "$init" ] || {
		echo "$name did not boot:" >&2
		tail -5 /tmp/bench.$$ >&2
		exit 1
	}
	echo "$name init $init s, wall $wall s"
	echo "$name $init $wall" >>/tmp/bench.rows.$$
}

ours() {
	one "bhyve/$1" "$build/src/cmd/bhyve" -E soft -c "$1" -m 512M -H \
		-s 0,hostbridge -s 31,lpc -l com1,stdio --kernel "$g/vmlinuz" \
		--initrd "$g/initrd.img" --append "$append" bench
}

qemu() {
	one "qemu/$1" qemu-system-x86_64 -M q35 -accel tcg,thread=multi \
		-cpu qemu64 -smp "$1" -m 512 -nographic -no-reboot -nodefaults \
		-serial stdio -kernel "$g/vmlinuz" -initrd "$g/initrd.img" \
		-append "$append"
}

: >/tmp/bench.rows.$$
trap 'rm -f /tmp/bench.$$ /tmp/bench.rows.$$' EXIT
for cpus in 1 2; do
	n=0
	while [ "$n" -lt "$runs" ]; do
		qemu $cpus
		ours $cpus
		n=$((n + 1))
	done
done
python3 - /tmp/bench.rows.$$ <<'PY'
import statistics
import sys

rows = {}
for line in open(sys.argv[1]):
    name, init, wall = line.split()
    rows.setdefault(name, []).append((float(init), float(wall)))
print("\nmedians          init s   wall s")
med = {}
for name, values in rows.items():
    med[name] = [statistics.median(v) for v in zip(*values)]
    print(f"{name:15} {med[name][0]:7.2f}  {med[name][1]:7.2f}  "
          f"({len(values)} runs)")
for cpus in "1", "2":
    a, b = med["bhyve/" + cpus], med["qemu/" + cpus]
    print(f"ratio bhyve/qemu, {cpus} vCPU: init {a[0] / b[0]:.2f}, "
          f"wall {a[1] / b[1]:.2f}")
PY
