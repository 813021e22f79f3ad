#!/bin/sh
# The tree is formatted by .clang-format (version 14, as packaged by Debian 12).
cd "$1" || exit 1
command -v clang-format >/dev/null 2>&1 || { echo "no clang-format"; exit 77; }
clang-format --version | grep -q 'version 14' || {
	echo "another clang-format than version 14"
	exit 77
}
find src include tests -name '*.[ch]' -print0 |
	xargs -0 clang-format --dry-run -Werror 2>&1 | head -40 >/tmp/format.$$
n=$(grep -c 'error:' /tmp/format.$$)
cat /tmp/format.$$
rm -f /tmp/format.$$
[ "$n" = 0 ]
