# Front door: everything is built and tested by Meson and Ninja in $(BUILD).
# `make run` and `make check` need nothing but a fresh checkout.
BUILD ?= build
MESON ?= meson
NEED  := sh tools/need.sh

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

# A Debian kernel and a small root file system, made from Debian's packages.
run: need-run $(BUILD)/build.ninja
	@ninja -C $(BUILD) src/cmd/bhyve
	@sh tools/guest.sh $(BUILD)/guest
	@sh tools/run.sh $(BUILD)

# Debian 12 on a disk, $(BUILD)/guest/debian.img; boot a copy of it.
disk: need-disk
	@sh tools/guest.sh $(BUILD)/guest
	@sh tools/disk.sh $(BUILD)/guest

# AHCI's driver is in Debian's larger kernel alone.
# The disk image waits for the network and for dpkg as much as it works.
check: need-check $(BUILD)/build.ninja
	@sh tools/guest.sh $(BUILD)/guest
	@sh tools/guest.sh $(BUILD)/guest/full linux-image-amd64
	@sh tools/disk.sh $(BUILD)/guest & disk=$$!; ninja -C $(BUILD); built=$$?; \
		wait $$disk && exit $$built
	@sh tools/check.sh $(BUILD)

bench: need-bench all
	@sh tools/guest.sh $(BUILD)/guest
	@sh tools/disk.sh $(BUILD)/guest
	@sh bench/boot.sh $(BUILD)
	@sh bench/guest.sh $(BUILD)
	@sh bench/idle.sh $(BUILD)
	@python3 bench/io.py $(BUILD)
	@sh tools/guest.sh $(BUILD)/guest/full linux-image-amd64
	@python3 bench/kvm.py $(BUILD)

# Engine kvm on VMX, made by Bochs: five minutes or more.
check-bochs: need-run need-bochs all
	@sh tools/guest.sh $(BUILD)/guest
	@sh tools/guest.sh $(BUILD)/guest/full linux-image-amd64
	@$(MESON) test -C $(BUILD) --suite bochs --print-errorlogs

# Engine kvm on this host's own /dev/kvm, where that emulates ring 0: three minutes.
check-here: all
	@$(MESON) test -C $(BUILD) --suite kvm-here --print-errorlogs

# Random instructions, natively and in the engine, for SECONDS (default 60).
fuzz-cpu: need-check all
	@$(BUILD)/tests/cpu/fuzz_cpu --seconds $(or $(SECONDS_),60)

# The libFuzzer targets, each for 60 seconds; needs clang.
fuzz: need-fuzz
	@sh tools/fuzz.sh $(BUILD)-fuzz

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

lint: all
	@$(MESON) test -C $(BUILD) --suite lint --print-errorlogs

install: all
	@$(MESON) install -C $(BUILD)

clean:
	@rm -rf $(BUILD) $(BUILD)-fuzz $(BUILD)-asan $(BUILD)-tsan

$(BUILD)/build.ninja:
	@$(NEED) build
	@$(MESON) setup $(BUILD) >/dev/null

need-%:
	@$(NEED) $*

.PHONY: all run disk check check-bochs check-here bench fuzz fuzz-cpu format lint install clean
