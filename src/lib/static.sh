#!/bin/sh
# The static libvmmapi: all objects as one whose hidden symbols are local, so
# that a program's own log_error() or vm.c does not meet ours.
#   static.sh OUTPUT ARCHIVE...
set -eu
out=$1
shift
tmp=$out.o
trap 'rm -f "$tmp"' EXIT
${LD:-ld} -r --whole-archive "$@" -o "$tmp"
${OBJCOPY:-objcopy} --localize-hidden "$tmp"
rm -f "$out"
${AR:-ar} rcs "$out" "$tmp"
