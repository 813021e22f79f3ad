#!/bin/sh
# Install what a make target needs and this machine lacks.
#   need.sh build|run|disk|check|bench|fuzz|bochs
# On Debian and its children by apt (with sudo when not root); elsewhere one
# line says what to install.  Nothing is asked when nothing is missing.
set -eu

# command (or file, when it begins with /) : Debian package that has it
build='gcc:gcc
make:make
meson:meson
ninja:ninja-build
pkg-config:pkg-config
python3:python3
/usr/include/Zydis/Zydis.h:libzydis-dev
/usr/include/Zycore/Zycore.h:libzycore-dev
/usr/include/cmocka.h:libcmocka-dev
/usr/include/md5.h:libmd-dev
/usr/include/slirp/libslirp.h:libslirp-dev
/usr/include/liburing.h:liburing-dev'
run='zstd:zstd'
disk='mmdebstrap:mmdebstrap
fakeroot:fakeroot
fakechroot:fakechroot
/sbin/mke2fs:e2fsprogs
/sbin/sfdisk:fdisk
/sbin/depmod:kmod
ssh-keygen:openssh-client
/usr/share/keyrings/debian-archive-keyring.gpg:debian-archive-keyring'
check='iasl:acpica-tools
qemu-system-x86_64:qemu-system-x86
g++:g++
gdb:gdb
nasm:nasm'
bench='qemu-system-x86_64:qemu-system-x86
iperf3:iperf3'
bochs='bochs:bochs
/usr/share/bochs/BIOS-bochs-latest:bochsbios
/usr/share/bochs/VGABIOS-lgpl-latest:vgabios
grub-mkrescue:grub-common
/usr/lib/grub/i386-pc/normal.mod:grub-pc-bin
xorriso:xorriso
/usr/bin/gdb:gdb
/usr/bin/python3:python3'
fuzz='clang:clang
/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a:libclang-rt-14-dev'

case ${1-} in
build) list=$build ;;
run) list="$build
$run" ;;
disk) list="$build
$run
$disk" ;;
check) list="$build
$run
$disk
$check" ;;
bench) list="$build
$run
$disk
$bench" ;;
fuzz) list="$build
$fuzz" ;;
bochs) list="$build
$bochs" ;;
*)
	echo "usage: need.sh build|run|disk|check|bench|fuzz|bochs" >&2
	exit 64
	;;
esac

missing=
for entry in $list; do
	what=${entry%%:*}
	case $what in
	/*) [ -e "$what" ] && continue ;;
	*) command -v "$what" >/dev/null 2>&1 && continue ;;
	esac
	missing="$missing ${entry##*:}"
done
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "bhyve: please install (Debian's names):$missing" >&2
	exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null 2>&1; then
		echo "bhyve: as root: apt-get install$missing" >&2
		exit 1
	fi
	sudo=sudo
fi
echo "bhyve: installing$missing"
# Package lists may be absent or old: refresh them once when a name is unknown.
# shellcheck disable=SC2086
if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	--no-install-recommends $missing >/dev/null 2>&1; then
	$sudo apt-get update -qq
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends $missing >/dev/null
fi
