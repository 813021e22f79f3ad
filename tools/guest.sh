#!/bin/sh
# Make the guest of `make run` and the boot tests:
#   guest.sh DIR  ->  DIR/vmlinuz  DIR/initrd.img
# The kernel is Debian's linux-image-cloud-amd64, unpacked, not installed; the
# root file system is busybox-static and the scripts in tools/initramfs.  Nothing
# needs root unless apt has no package lists.  Made once, checked on each use.
set -eu
dir=$1
here=$(dirname "$0")
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

die() {
	echo "bhyve: $*" >&2
	exit 1
}

# Unpack one package's files that match a pattern, without installing it.
fetch() { # package, tar pattern, destination
	work=$dir/fetch
	rm -rf "$work"
	mkdir -p "$work/root"
	(cd "$work" && apt-get download -qq "$1" >/dev/null 2>&1) ||
		die "cannot download $1: apt-get update may be needed"
	dpkg-deb --fsys-tarfile "$work"/*.deb |
		tar -x -C "$work/root" --wildcards "$2" 2>/dev/null ||
		die "$1 has no $2"
	# shellcheck disable=SC2086
	mv "$work"/root/$2 "$3"
	rm -rf "$work"
}

lists() {
	apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 && return
	if [ "$(id -u)" = 0 ]; then
		apt-get update -qq
	else
		sudo apt-get update -qq
	fi
}

sound() { (cd "$dir" && sha256sum --status -c sums 2>/dev/null); }

stamp=$(cat "$here"/initramfs/* "$here"/mkinitramfs.py "$here"/guest.sh | sha256sum)
if sound && [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi

command -v apt-get >/dev/null 2>&1 ||
	die "put a kernel in $dir/vmlinuz and an initramfs in $dir/initrd.img"
lists
if [ ! -s "$dir/vmlinuz" ] || ! sound; then
	kernel=$(apt-cache depends linux-image-cloud-amd64 |
		sed -n 's/^ *Depends: \(linux-image-.*-cloud-amd64\)$/\1/p' | head -n 1)
	[ -n "$kernel" ] || die "apt knows no linux-image-cloud-amd64"
	echo "bhyve: fetching $kernel and busybox-static"
	fetch "$kernel" './boot/vmlinuz-*' "$dir/vmlinuz"
	fetch busybox-static ./bin/busybox "$dir/busybox" 2>/dev/null ||
		fetch busybox-static ./usr/bin/busybox "$dir/busybox"
fi
python3 "$here/mkinitramfs.py" "$dir/initrd.img" "$dir/busybox" \
	"$here/initramfs"
(cd "$dir" && sha256sum vmlinuz busybox initrd.img >sums)
echo "$stamp" >"$dir/stamp"
