#!/bin/sh
# Make the guest of `make run` and the boot tests:
#   guest.sh DIR [PACKAGE]  ->  DIR/vmlinuz  DIR/initrd.img
# The kernel is Debian's, unpacked, not installed: linux-image-cloud-amd64, or the one
# that PACKAGE names (linux-image-amd64 has more drivers, AHCI's among them).  The root
# file system is busybox-static, the scripts in tools/initramfs and the kernel
# modules that tools/modules lists.  DIR/kernel.deb stays, for tools/disk.sh.
# Nothing needs root unless apt has no package lists.  Made once, checked on each use.
set -eu
dir=$1
package=${2:-linux-image-cloud-amd64}
here=$(dirname "$0")
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

die() {
	echo "bhyve: $*" >&2
	exit 1
}

download() { # package, destination
	work=$dir/fetch
	rm -rf "$work"
	mkdir -p "$work"
	(cd "$work" && apt-get download -qq "$1" >/dev/null 2>&1) ||
		die "cannot download $1: apt-get update may be needed"
	mv "$work"/*.deb "$2"
	rm -rf "$work"
}

# One file of a package, without installing it.
unpack() { # archive, tar pattern, destination
	dpkg-deb --fsys-tarfile "$1" |
		tar -x -O --wildcards "$2" >"$3.new" 2>/dev/null ||
		die "$1 has no $2"
	mv "$3.new" "$3"
}

lists() {
	apt-cache show "$package" >/dev/null 2>&1 && return
	if [ "$(id -u)" = 0 ]; then
		apt-get update -qq
	else
		sudo apt-get update -qq
	fi
}

sound() { (cd "$dir" && sha256sum --status -c sums 2>/dev/null); }

stamp=$(cat "$here"/initramfs/* "$here"/cpio.py "$here"/mkinitramfs.py \
	"$here"/mkmodules.py "$here"/modules "$here"/guest.sh | sha256sum)
if sound && [ "$(cat "$dir/stamp" 2>/dev/null)" = "$package $stamp" ]; then
	exit 0
fi

command -v apt-get >/dev/null 2>&1 ||
	die "put a kernel in $dir/vmlinuz and an initramfs in $dir/initrd.img"
lists
if [ ! -s "$dir/kernel.deb" ] || ! sound; then
	kernel=$(apt-cache depends "$package" |
		sed -n 's/^ *Depends: \(linux-image-.*-amd64\)$/\1/p' | head -n 1)
	[ -n "$kernel" ] || die "apt knows no $package"
	echo "bhyve: fetching $kernel and busybox-static"
	download "$kernel" "$dir/kernel.deb"
	download busybox-static "$dir/busybox.deb"
	unpack "$dir/kernel.deb" './boot/vmlinuz-*' "$dir/vmlinuz"
	unpack "$dir/busybox.deb" '*/bin/busybox' "$dir/busybox"
	chmod +x "$dir/busybox"
fi
python3 "$here/mkmodules.py" "$dir/modules.cpio" "$dir/kernel.deb" \
	"$here/modules"
python3 "$here/mkinitramfs.py" "$dir/initrd.img" "$dir/busybox" \
	"$here/initramfs" "+$dir/modules.cpio"
(cd "$dir" && sha256sum kernel.deb vmlinuz busybox initrd.img >sums)
echo "$package $stamp" >"$dir/stamp"
