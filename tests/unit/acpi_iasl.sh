#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Every ACPI table must disassemble without a word from iasl, and what it
# disassembles to must compile without errors, warnings or remarks: a data
# table to the same bytes (but for checksum and creator), the DSDT to one that
# disassembles to the same text.  Argument: boot_dump_acpi.  No iasl: exit 77.
set -eu
if ! command -v iasl >/dev/null; then
	echo "iasl is not installed (acpica-tools)"
	exit 77
fi
dump=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

fail() {
	echo "FAIL $1: $2"
	cat "$3"
	failed=$((failed + 1))
}

disassemble() {
	iasl -p "$1" -d "$2" >"$1.log" 2>&1 &&
	    ! grep -Eiq 'warning|error|invalid|could not|checksum is' "$1.log"
}

# compile NAME: to again-NAME.aml
compile() {
	iasl -oa -p "again-$1" "$1.dsl" >"$1.log" 2>&1 &&
	    ! grep -Eq '[1-9][0-9]* (Errors|Warnings|Remarks)' "$1.log"
}

same_bytes() {
	cmp -l "$1" "$2" >"$3" 2>&1 || true
	! awk '$1 != 10 && ($1 < 29 || $1 > 36)' "$3" | grep -q .
}

body() {
	sed '1,/^DefinitionBlock/d' "$1"
}

same_code() {
	disassemble "$1" "$2" && body "$3" >"$1.a" && body "$1.dsl" >"$1.b" &&
	    diff "$1.a" "$1.b" >"$4"
}

"$dump" "$dir"
cd "$dir"
for table in *.dat; do
	name=${table%.dat}
	if ! disassemble "$name" "$table"; then
		fail "$name" "iasl -d complains" "$name.log"
	elif ! compile "$name"; then
		fail "$name" "its source does not compile cleanly" "$name.log"
	elif case $name in
	    *-DSDT) ! same_code "third-$name" "again-$name.aml" "$name.dsl" \
		"$name.diff" ;;
	    *-FACS) false ;; # iasl pads it
	    *) ! same_bytes "$table" "again-$name.aml" "$name.diff" ;;
	    esac; then
		fail "$name" "compiles to something else" "$name.diff"
	else
		passed=$((passed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
