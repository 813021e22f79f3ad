#!/bin/sh
# The debugger stub of -G on an engine, without gdb and Python: a hardware
# breakpoint, a watchpoint, an INT3 and a step stop tests/cli's payload at the right RIP.
#   stub.sh ENGINE BHYVE PAYLOAD START STACK COMMAND
# The last three are addresses of the payload's symbols start, stack_top and command.
# Needs nc; the waits are long enough for a processor that Bochs makes.
set -u
engine=$1 bhyve=$2 payload=$3
after=$(($4 + 6)) pushed=$(($5 - 4)) command=$(($6))
out=/tmp/stub.$$

packet() { # data, seconds to wait for what comes of it
	rest=$1 sum=0
	while [ -n "$rest" ]; do
		c=${rest%"${rest#?}"} rest=${rest#?}
		sum=$(((sum + $(printf %d "'$c")) % 256))
	done
	printf '$%s#%02x' "$1" $sum
	sleep "$2"
}

talk() {
	# CLI and MOV ESP are before it, PUTS's return address is pushed by it.
	packet "$(printf 'Z1,%x,1' $after)" 1
	packet c 2
	packet g 1
	packet "$(printf 'z1,%x,1' $after)" 1
	packet "$(printf 'Z2,%x,4' $pushed)" 1
	packet c 2
	packet "$(printf 'z2,%x,4' $pushed)" 1
	packet "$(printf 'Z0,%x,1' $command)" 1
	packet c 12 # until a letter comes
	packet g 1
	packet "$(printf 'z0,%x,1' $command)" 1
	packet s 1
	packet g 1
	packet D 1
}

want() { # what, pattern
	if grep -q "$2" "$out.rsp"; then
		echo "$1: yes"
	else
		echo "$1: NO, no $2"
		status=1
	fi
}

rip() { # as `g` has it: little-endian, behind 16 registers
	printf '^[0-9a-f]\\{256\\}%02x%02x%02x%02x00000000' \
		$(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}

(
	sleep 16
	printf p # power off
	sleep 20
) | "$bhyve" -E "$engine" -c 1 -m 64M -s 0,hostbridge -s 31,lpc -l com1,stdio \
	-G w127.0.0.1:2159 --kernel "$payload" stub >"$out.vm" 2>&1 &
sleep 2
talk | nc 127.0.0.1 2159 | tr '$' '\n' >"$out.rsp"
wait $!
status=0
want "breakpoint" 'T05thread:1;hwbreak:;'
want "its RIP" "$(rip $after)"
want "watchpoint" "$(printf 'T05thread:1;watch:%x;' $pushed)"
want "INT3" 'T05thread:1;swbreak:;'
want "its RIP" "$(rip $command)"
want "step" 'T05thread:1;#'
want "RIP after it" "$(rip $((command + 4)))" # MOV DX
[ $status = 0 ] || cat "$out.rsp" "$out.vm"
exit $status
