#!/bin/sh
# `make run`: Debian's kernel to a shell on this terminal.  Without a terminal:
# a short script in the guest, its output, power off.
set -eu
build=$1
args="-c 2 -m 512M -H -s 0,hostbridge -s 31,lpc -l com1,stdio"
append="console=ttyS0 quiet"
[ -t 0 ] && [ -t 1 ] || append="$append script=demo"
# shellcheck disable=SC2086
"$build/src/cmd/bhyve" $args --kernel "$build/guest/vmlinuz" \
	--initrd "$build/guest/initrd.img" --append "$append" demo &&
	status=0 || status=$?
# 0 the guest rebooted, 1 it powered off: both are a good end here.
[ "$status" -le 1 ] || exit "$status"
