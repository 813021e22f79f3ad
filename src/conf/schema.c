/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schema.c - every key the tree knows, in one table.
 *
 * Names and meanings are bhyve_config(5)'s (docs/bhyve.md 4.4); those of this
 * implementation alone are at the end.  A key marked `later` is one that
 * FreeBSD's bhyve has and this one does not yet: setting it is refused, never
 * ignored.  Settings below pci.BUS.SLOT.FUNC belong to the device's own table
 * (struct pci_dev_ops), which src/machine checks.
 */
#include <conf/conf.h>

#define CONF_MAX_HOSTCPU 1023 /* CPU_SETSIZE - 1 */

#define STR(n, d, s)                                                           \
	{                                                                      \
		.name = (n), .type = CONF_STRING, .dflt = (d), .summary = (s)  \
	}
#define BOOL(n, d, s)                                                          \
	{                                                                      \
		.name = (n), .type = CONF_BOOL, .dflt = (d), .summary = (s)    \
	}
#define NUM(n, d, lo, hi, s)                                                   \
	{                                                                      \
		.name = (n), .type = CONF_U64, .dflt = (d), .min = (lo),       \
		.max = (hi), .summary = (s)                                    \
	}
#define LATER(n, s)                                                            \
	{                                                                      \
		.name = (n), .type = CONF_STRING, .summary = (s),              \
		.later = true                                                  \
	}

/* clang-format off */
const struct conf_key conf_schema[] = {
	STR("name", NULL, "name of the virtual machine"),
	NUM("cpus", "1", 1, CONF_MAX_CPUS, "number of virtual CPUs"),
	NUM("sockets", NULL, 1, CONF_MAX_CPUS, "processor packages"),
	NUM("cores", "1", 1, CONF_MAX_CPUS, "cores in a package"),
	NUM("threads", "1", 1, CONF_MAX_CPUS, "threads in a core"),
	NUM("vcpu.*.cpuset", NULL, 0, CONF_MAX_HOSTCPU,
	    "host CPU this virtual CPU stays on"),
	{ .name = "memory.size", .type = CONF_SIZE, .dflt = "256M",
	  .summary = "guest memory" },
	BOOL("memory.wired", "false", "keep guest memory from being paged out"),
	BOOL("memory.guest_in_core", "false",
	    "guest memory is part of this program's core dumps"),
	BOOL("acpi_tables", "true", "give the guest ACPI tables"),
	BOOL("destroy_on_poweroff", "false",
	    "accepted; the machine always ends with the program"),
	BOOL("monitor", "false",
	    "accepted; the machine always ends with the program"),
	{ .name = "uuid", .type = CONF_UUID,
	  .summary = "SMBIOS UUID; made from the name when not set" },
	BOOL("virtio_msix", "true", "virtio devices use MSI-X rather than MSI"),
	BOOL("config.dump", "false", "print the tree and exit with status 1"),
	BOOL("rtc.use_localtime", "true",
	    "the clock chip keeps the host's local time, not UTC"),
	BOOL("x86.mptable", "true", "give the guest an MP table"),
	BOOL("x86.x2apic", "false", "local APICs start in x2APIC mode"),
	BOOL("x86.strictio", "false",
	    "access to a port nobody owns ends the machine"),
	BOOL("x86.strictmsr", "true",
	    "access to an unknown MSR raises a fault in the guest"),
	BOOL("x86.verbosemsr", "false",
	    "log each access to an unknown MSR, not only some"),
	BOOL("x86.vmexit_on_hlt", "true",
	    "a halted virtual CPU gives its host CPU away"),
	BOOL("x86.vmexit_on_pause", "false", "count PAUSE instructions"),

	STR("bios.vendor", "BHYVE", "SMBIOS: vendor of the firmware"),
	STR("bios.version", "14.0", "SMBIOS: version of the firmware"),
	STR("bios.release_date", "10/17/2021", "SMBIOS: date of the firmware"),
	STR("system.manufacturer", "FreeBSD", "SMBIOS: maker of the system"),
	STR("system.product_name", "BHYVE", "SMBIOS: product"),
	STR("system.version", "1.0", "SMBIOS: version of the product"),
	STR("system.serial_number", "None", "SMBIOS: serial number"),
	STR("system.sku", NULL, "SMBIOS: stock keeping unit"),
	STR("system.family_name", NULL, "SMBIOS: family"),
	LATER("board.manufacturer", "SMBIOS: maker of the board"),
	LATER("board.product_name", "SMBIOS: board"),
	LATER("board.version", "SMBIOS: version of the board"),
	LATER("board.serial_number", "SMBIOS: serial number of the board"),
	LATER("board.asset_tag", "SMBIOS: asset tag of the board"),
	LATER("board.location", "SMBIOS: where the board sits"),
	LATER("chassis.manufacturer", "SMBIOS: maker of the case"),
	LATER("chassis.version", "SMBIOS: version of the case"),
	LATER("chassis.serial_number", "SMBIOS: serial number of the case"),
	LATER("chassis.asset_tag", "SMBIOS: asset tag of the case"),
	LATER("chassis.sku", "SMBIOS: stock keeping unit of the case"),

	STR("lpc.com1.path", NULL, "host end of serial port 1"),
	STR("lpc.com2.path", NULL, "host end of serial port 2"),
	STR("lpc.com3.path", NULL, "host end of serial port 3"),
	STR("lpc.com4.path", NULL, "host end of serial port 4"),
	STR("pci.*.*.*.device", NULL, "name of the device in that slot"),
	NUM("lpc.pcireg.vendor", NULL, 0, 0xfffe,
	    "PCI vendor id of the LPC bridge"),
	NUM("lpc.pcireg.device", NULL, 0, 0xffff,
	    "PCI device id of the LPC bridge"),
	NUM("lpc.pcireg.subvendor", NULL, 0, 0xffff,
	    "PCI subsystem vendor id of the LPC bridge"),
	NUM("lpc.pcireg.subdevice", NULL, 0, 0xffff,
	    "PCI subsystem id of the LPC bridge"),
	NUM("lpc.pcireg.revid", NULL, 0, 0xff,
	    "PCI revision of the LPC bridge"),
	NUM("pci.*.*.*.pcireg.vendor", NULL, 0, 0xfffe,
	    "PCI vendor id of that device"),
	NUM("pci.*.*.*.pcireg.device", NULL, 0, 0xffff,
	    "PCI device id of that device"),
	NUM("pci.*.*.*.pcireg.subvendor", NULL, 0, 0xffff,
	    "PCI subsystem vendor id of that device"),
	NUM("pci.*.*.*.pcireg.subdevice", NULL, 0, 0xffff,
	    "PCI subsystem id of that device"),
	NUM("pci.*.*.*.pcireg.revid", NULL, 0, 0xff,
	    "PCI revision of that device"),

	LATER("lpc.fwcfg", "kind of firmware configuration interface"),
	LATER("lpc.pc-testdev", "device for kvm-unit-tests"),
	LATER("lpc.bootrom", "boot ROM, old spelling"),
	LATER("bootrom", "boot ROM"),
	LATER("bootvars", "file of UEFI variables"),
	LATER("keyboard.layout", "keyboard of the frame buffer's viewer"),
	STR("gdb.address", "127.0.0.1", "where the debugger stub listens"),
	NUM("gdb.port", "0", 0, 65535, "TCP port of the debugger stub; 0 is off"),
	BOOL("gdb.wait", "false",
	    "wait for a debugger before the first instruction"),
	LATER("tpm.type", "kind of TPM"),
	LATER("tpm.path", "TPM device or socket"),
	LATER("tpm.version", "version of the TPM"),
	LATER("domains.*.size", "memory of a NUMA domain"),
	LATER("domains.*.cpus", "virtual CPUs of a NUMA domain"),
	LATER("domains.*.domain_policy", "host memory of a NUMA domain"),

	/* Not in FreeBSD's bhyve. */
	STR("engine", "auto", "what runs guest code: auto, kvm or soft"),
	{ .name = "soft.code_cache", .type = CONF_SIZE, .dflt = "32M",
	  .summary = "decoded code the software CPU keeps, per virtual CPU" },
	STR("boot.kernel", NULL, "kernel, PVH or Multiboot file, or boot sector, to start"),
	STR("boot.initrd", NULL, "initial RAM disk for the kernel"),
	STR("boot.cmdline", NULL, "the kernel's command line"),
	NUM("vcpu.pin_base", NULL, 0, CONF_MAX_HOSTCPU,
	    "virtual CPU n stays on host CPU n plus this"),
	BOOL("bvmcons", "false", "bvmcons console on port 0x220"),
	NUM("bvmdbg.port", "0", 0, 65535, "TCP port of bvmdbg; 0 is off"),
	STR("bvmdbg.address", "127.0.0.1", "address bvmdbg listens on"),
	BOOL("restart_on_reset", "false",
	    "a guest's reset starts it again instead of ending the program"),
	BOOL("host_notify", "false",
	    "log what the guest writes to port 0x488, with the time"),
	BOOL("stats", "false", "print counters when the machine ends"),
	BOOL("status_line", "true",
	    "on a terminal, tell that a silent guest is alive"),
	STR("var.*", NULL, "yours, for %(var.NAME) in other values"),
};
/* clang-format on */
const size_t conf_schema_len = ARRAY_LEN(conf_schema);
