#!/bin/sh
# Make a Debian 12 disk image for guests:
#   disk.sh DIR  ->  DIR/debian.img  DIR/id_ed25519
# Packages come from the host's own Debian mirrors, by mmdebstrap; tools/disk has the
# lists and the files that are put on top.  DIR/kernel.deb (tools/guest.sh) gives the
# kernel's modules; the kernel itself stays outside.  The image has an MBR and one
# ext4 partition, root logs in on the serial console without a password and by ssh
# with the key.  Made once, checked on each use, and read-only: boot a copy
# (cp --sparse=always).  Needs no root: user namespaces or fakechroot will do.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(cd "$1" && pwd)
PATH=$PATH:/usr/sbin:/sbin
mib=1024 # of the disk; a file has what is used
suite=bookworm
key=/usr/share/keyrings/debian-archive-keyring.gpg

die() {
	echo "bhyve: $*" >&2
	exit 1
}

list() { sed -e 's/ *#.*//' -e '/^$/d' "$here/disk/$1"; }

# The host's mirrors of this release, as lines of a sources.list.
mirrors() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' |
		sed -n "s|^${suite}[^ ]* |deb [signed-by=${key}] |p"
}

# Files' names and contents, in one number.
sum() { (cd "$here" && find "$@" ! -type d | LC_ALL=C sort | xargs cat | sha256sum); }

# An archive that ends too early has tar fail, an unfinished one lacks sshd.
whole() {
	files=$(zstd -dc "$dir/debian.tar.zst" | tar -t 2>/dev/null) &&
		echo "$files" | grep -q '^./usr/sbin/sshd$'
}

# The installed system as an archive; slow, so kept apart from what follows.
system() {
	stamp=$(sum disk/packages disk/paths)
	[ "$(cat "$dir/debian.stamp" 2>/dev/null)" = "$stamp" ] &&
		[ -s "$dir/debian.tar.zst" ] && return
	mirrors >"$dir/sources.list"
	[ -s "$dir/sources.list" ] || die "apt knows no mirror of Debian $suite"
	echo "bhyve: installing Debian $suite into an image, some minutes"
	set -- --variant=minbase --quiet --format=tar \
		--include="$(list packages | paste -sd, -)" \
		--dpkgopt=force-unsafe-io
	set -f # the patterns are dpkg's
	for path in $(list paths); do
		set -- "$@" --dpkgopt="path-exclude=$path"
	done
	set +f
	for mode in auto fakechroot; do
		mmdebstrap --mode=$mode "$@" "" - "$dir/sources.list" \
			2>"$dir/mmdebstrap.log" | zstd -q -1 -f -o "$dir/debian.tar.zst"
		whole && break
		rm -f "$dir/debian.tar.zst"
	done
	[ -s "$dir/debian.tar.zst" ] || die "mmdebstrap: $(tail -5 "$dir/mmdebstrap.log")"
	echo "$stamp" >"$dir/debian.stamp"
}

# What is on top of the packages; runs as root or under fakeroot.
dress() { # tree
	tar -c -C "$here/disk/root" --owner=0 --group=0 --mode=u=rwX,go=rX . |
		tar -x -C "$1"
	list units | while read -r verb unit wants; do
		at=$1/etc/systemd/system
		case $verb in
		on)
			mkdir -p "$at/$wants"
			ln -sf "/lib/systemd/system/$unit" "$at/$wants/$unit"
			;;
		off) ln -sf /dev/null "$at/$unit" ;;
		esac
	done
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
	install -D -m 600 "$dir/id_ed25519.pub" "$1/root/.ssh/authorized_keys"
	chmod 700 "$1/root" "$1/root/.ssh"
	od -An -N16 -tx1 /dev/urandom | tr -d ' ' >"$1/etc/machine-id"
}

modules() { # tree, kernel package
	tree=$1 deb=$2
	list modules | sed 's|^|./lib/modules/*/|' >"$tree/patterns"
	# Not every kernel has every part, of which tar would complain.
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tree/usr" --wildcards \
		--files-from="$tree/patterns" 2>/dev/null || true
	rm "$tree/patterns"
	for v in "$tree"/usr/lib/modules/*; do
		depmod -b "$tree" "$(basename "$v")"
	done
}

# Runs as root or under fakeroot, which keeps the owners.
image() { # tree, out
	zstd -dc "$dir/debian.tar.zst" | tar -x -C "$1" --exclude='./dev/*'
	dress "$1"
	for deb in "$dir/kernel.deb" "$dir/full/kernel.deb"; do
		[ ! -s "$deb" ] || modules "$1" "$deb"
	done
	# Else systemd thinks of a new /usr and makes its caches again.
	touch -d '1 hour ago' "$1/usr"
	touch "$1/etc/.updated" "$1/var/.updated"
	truncate -s ${mib}M "$2"
	echo '2048,,L,*' | sfdisk -q "$2"
	mke2fs -q -F -t ext4 -L debian -U 6d696e69-6d61-4c20-6469-736b206f6e65 \
		-E offset=1048576,lazy_itable_init=0 -d "$1" "$2" $((mib - 1))M
}

sound() {
	[ "$(cat "$dir/debian.sum" 2>/dev/null)" = "$(cksum <"$dir/debian.img")" ]
} 2>/dev/null

if [ "${2-}" = --image ]; then # ourselves, under fakeroot
	image "$3" "$4"
	exit 0
fi

stamp="$(sum disk disk.sh) $(cat "$dir/kernel.deb" "$dir/full/kernel.deb" 2>/dev/null | sha256sum)"
if [ "$(cat "$dir/disk.stamp" 2>/dev/null)" = "$stamp" ] && sound; then
	exit 0
fi
command -v apt-get >/dev/null 2>&1 ||
	die "the disk image is made of Debian's packages by apt, which is not here"
system
[ -s "$dir/id_ed25519" ] ||
	ssh-keygen -q -t ed25519 -N '' -C bhyve-guest -f "$dir/id_ed25519"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
fake=fakeroot
[ "$(id -u)" != 0 ] || fake=
$fake sh "$here/disk.sh" "$dir" --image "$tree" "$dir/debian.new"
chmod 444 "$dir/debian.new"
mv -f "$dir/debian.new" "$dir/debian.img"
cksum <"$dir/debian.img" >"$dir/debian.sum"
echo "$stamp" >"$dir/disk.stamp"
