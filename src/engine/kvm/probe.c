/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe.c - is there a KVM, may we use it, what can it do, is it hardware?
 *
 * Some hosts offer a /dev/kvm that runs user code natively and everything else
 * in the kernel's instruction emulator, a thousand times slower (page-table
 * virtual machines).  So a millisecond of ring 0 code is run and timed.
 */
#include "kvm_priv.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <util/log.h>

#define KVM_PATH "/dev/kvm"

/* Who owns the device decides whom it lets in: name the group that helps. */
static void
no_permission(char *why, size_t why_len)
{
	char buf[1024];
	struct group g, *found = NULL;
	struct stat st;

	if (stat(KVM_PATH, &st) == 0 && (st.st_mode & S_IRGRP) != 0 &&
	    (st.st_mode & S_IWGRP) != 0 && st.st_gid != 0)
		(void)getgrgid_r(st.st_gid, &g, buf, sizeof(buf), &found);
	if (found != NULL)
		snprintf(why, why_len,
		    "no permission to use " KVM_PATH "; join its group: "
		    "usermod -aG %s $USER, then log in again",
		    g.gr_name);
	else
		snprintf(why, why_len,
		    "no permission to use " KVM_PATH ", which lets no group "
		    "in: chgrp kvm " KVM_PATH ", chmod 660 " KVM_PATH
		    ", then join that group");
}

int
kvm_open(char *why, size_t why_len)
{
	int fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
	int err = -errno, version;

	if (fd < 0) {
		if (err == -EACCES || err == -EPERM)
			no_permission(why, why_len);
		else if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
			snprintf(why, why_len,
			    "no " KVM_PATH
			    " (no VT-x or AMD-V here, or kvm_intel / "
			    "kvm_amd is not loaded)");
		else
			snprintf(why, why_len, KVM_PATH ": %s", strerror(-err));
		return err;
	}
	version = kvm_try(fd, KVM_GET_API_VERSION, NULL);
	if (version == KVM_API_VERSION)
		return fd;
	if (version < 0)
		snprintf(why, why_len, KVM_PATH ": KVM_GET_API_VERSION: %s",
		    strerror(-version));
	else
		snprintf(why, why_len,
		    KVM_PATH " speaks API version %d, not %d", version,
		    KVM_API_VERSION);
	close(fd);
	return version < 0 ? version : -ENOTSUP;
}

/* --- capabilities --------------------------------------------------------- */

static int
extension(int fd, int cap)
{
	int ret = kvm_try_val(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return ret < 0 ? 0 : ret;
}

/* Without these there is no machine; all are older than Linux 4.12. */
static const struct {
	int cap;
	const char *name;
} required_table[] = {
	{ KVM_CAP_IRQCHIP, "an interrupt controller in the kernel" },
	{ KVM_CAP_PIT2, "an 8254 in the kernel" },
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_SET_TSS_ADDR" },
	{ KVM_CAP_EXT_CPUID, "KVM_GET_SUPPORTED_CPUID" },
	{ KVM_CAP_MP_STATE, "KVM_GET_MP_STATE" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing" },
	{ KVM_CAP_SIGNAL_MSI, "KVM_SIGNAL_MSI" },
	{ KVM_CAP_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate_exit" },
	{ KVM_CAP_XSAVE, "KVM_GET_XSAVE" },
	{ KVM_CAP_XCRS, "KVM_GET_XCRS" },
};

static int
check_required(int fd, char *why, size_t why_len)
{
	for (size_t i = 0; i < ARRAY_LEN(required_table); i++) {
		int has = kvm_try_val(fd, KVM_CHECK_EXTENSION,
		    (unsigned long)required_table[i].cap);

		if (has > 0)
			continue;
		if (has < 0) {
			snprintf(why, why_len, "%s: %s", kvm_failed_name(),
			    strerror(-has));
			return has;
		}
		snprintf(why, why_len, "this kernel's KVM lacks %s",
		    required_table[i].name);
		return -ENOTSUP;
	}
	return 0;
}

/* CPUID.1:ECX.VMX or CPUID.80000001H:ECX.SVM. */
static bool
has_hardware(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & BIT(5)) != 0)
		return true;
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & BIT(2)) != 0;
}

void
kvm_find_features(int fd, struct kvm_features *f)
{
	*f = (struct kvm_features){
		.hardware = has_hardware(),
		.sync_regs =
		    (extension(fd, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS) != 0,
		.msr_exits = extension(fd, KVM_CAP_X86_USER_SPACE_MSR) > 0,
		.msr_filter = extension(fd, KVM_CAP_X86_MSR_FILTER) > 0,
		.failure_exits =
		    extension(fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE) > 0,
		.disable_exits =
		    (uint32_t)extension(fd, KVM_CAP_X86_DISABLE_EXITS),
		.halt_poll = extension(fd, KVM_CAP_HALT_POLL) > 0,
		.vcpu_attr = extension(fd, KVM_CAP_VCPU_ATTRIBUTES) > 0,
		.tsc_deadline = extension(fd, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
		.debugregs = extension(fd, KVM_CAP_DEBUGREGS) > 0,
		.binary_stats = extension(fd, KVM_CAP_BINARY_STATS_FD) > 0,
		.sregs2 = extension(fd, KVM_CAP_SREGS2) > 0,
		.block_irq = (extension(fd, KVM_CAP_SET_GUEST_DEBUG2) &
				 KVM_GUESTDBG_BLOCKIRQ) != 0,
		.ioeventfd = extension(fd, KVM_CAP_IOEVENTFD) > 0,
		.any_length = extension(fd, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0,
		.irqfd = extension(fd, KVM_CAP_IRQFD) > 0,
		.irqfd_resample = extension(fd, KVM_CAP_IRQFD_RESAMPLE) > 0,
		.coalesced = extension(fd, KVM_CAP_COALESCED_MMIO),
		.coalesced_pio = extension(fd, KVM_CAP_COALESCED_PIO) > 0,
		.max_vcpus = MAX(extension(fd, KVM_CAP_MAX_VCPUS),
		    extension(fd, KVM_CAP_NR_VCPUS)),
	};
}

/* --- the measurement ------------------------------------------------------ */

#define CODE_BYTES  4096u
#define LONG_LOOPS  20000u
#define SHORT_LOOPS 1000u /* half a millisecond of an emulator's */
#define MEASURE_NS  1000000u
#define ROUNDS_MIN  3u
#define OUT_PORT    0x80

/* 32-bit: 1: mov ecx, loops (put in); 2: dec ecx; jnz 2; out 0x80, al; jmp 1 */
static const uint8_t measure_code[] = {
	0xb9, 0, 0, 0, 0, /* mov ecx */
	0x49,		  /* dec ecx */
	0x75, 0xfd,	  /* jnz */
	0xe6, OUT_PORT,	  /* out */
	0xeb, 0xf4,	  /* jmp */
};

struct measure {
	int vm, vcpu;
	uint8_t *code;
	struct kvm_run *run;
	size_t run_bytes;
};

static void
measure_fini(struct measure *m)
{
	if (m->run != MAP_FAILED)
		munmap(m->run, m->run_bytes);
	if (m->code != MAP_FAILED)
		munmap(m->code, CODE_BYTES);
	if (m->vcpu >= 0)
		close(m->vcpu);
	if (m->vm >= 0)
		close(m->vm);
}

/* Flat 32-bit protected mode, ring 0, no paging. */
static int
measure_registers(struct measure *m)
{
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_segment data = { .limit = 0xffffffff,
		.selector = 0x10,
		.type = 3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1 };
	struct kvm_sregs s;
	int err = kvm_try(m->vcpu, KVM_GET_SREGS, &s);

	if (err < 0)
		return err;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cs = data;
	s.cs.selector = 0x8;
	s.cs.type = 0xb;
	s.cr0 = 0x21; /* PE, NE */
	err = kvm_try(m->vcpu, KVM_SET_SREGS, &s);
	return err < 0 ? err : kvm_try(m->vcpu, KVM_SET_REGS, &regs);
}

static int
measure_init(int sys_fd, struct measure *m, const uint8_t *code, size_t len)
{
	struct kvm_userspace_memory_region mem = { .memory_size = CODE_BYTES };
	int bytes;

	m->vm = kvm_try(sys_fd, KVM_CREATE_VM, NULL);
	if (m->vm < 0)
		return m->vm;
	(void)kvm_try_val(m->vm, KVM_SET_TSS_ADDR, 0xfffbd000);
	m->code = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->code == MAP_FAILED)
		return -errno;
	memcpy(m->code, code, len);
	mem.userspace_addr = (uintptr_t)m->code;
	bytes = kvm_try(m->vm, KVM_SET_USER_MEMORY_REGION, &mem);
	if (bytes < 0)
		return bytes;
	m->vcpu = kvm_try(m->vm, KVM_CREATE_VCPU, NULL);
	if (m->vcpu < 0)
		return m->vcpu;
	bytes = kvm_try(sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (bytes < 0)
		return bytes;
	m->run_bytes = (size_t)bytes;
	m->run = kvm_map_run(m->vcpu, m->run_bytes);
	return m->run == MAP_FAILED ? -errno : measure_registers(m);
}

/*
 * The best of the rounds that fit, and of no fewer than three: the first one is
 * cold, and others want the processor too.
 */
static int
measure_rounds(struct measure *m, uint32_t loops, uint64_t *ret_rate)
{
	uint64_t begin = host_now_ns(), best = UINT64_MAX, now = begin;
	unsigned int rounds = 0;

	put_le32(m->code + 1, loops);
	do {
		uint64_t since = now;
		int err = kvm_try(m->vcpu, KVM_RUN, NULL);

		if (err == -EINTR)
			continue;
		if (err < 0)
			return err;
		if (m->run->exit_reason != KVM_EXIT_IO)
			return -EIO;
		now = host_now_ns();
		best = MIN(best, now - since);
		rounds++;
	} while (rounds < ROUNDS_MIN || now - begin < MEASURE_NS);
	*ret_rate = 2ull * loops * 1000000000u / MAX(best, 1u); /* dec, jnz */
	return 0;
}

int
kvm_measure(int sys_fd, uint64_t *ret_rate)
{
	struct measure m = {
		.vm = -1, .vcpu = -1, .code = MAP_FAILED, .run = MAP_FAILED
	};
	int err = measure_init(sys_fd, &m, measure_code, sizeof(measure_code));

	if (err >= 0)
		err = measure_rounds(&m, SHORT_LOOPS, ret_rate);
	/* Not an emulator, or the exits are the better part of it. */
	if (err >= 0 && *ret_rate > KVM_HARDWARE_RATE / 5)
		err = measure_rounds(&m, LONG_LOOPS, ret_rate);
	measure_fini(&m);
	return err;
}

/* --- what a debugger uses --------------------------------------------------
 */

#define POINT_DATA 0x800u
#define POINT_CODE 5u
#define DR7_EXEC0  0x2u	    /* G0, R/W0 = execute */
#define DR7_WRITE0 0xd0002u /* G0, R/W0 = write, LEN0 = 4 bytes */

/* 32-bit: mov [0x800], eax; nop; out 0x80, al */
static const uint8_t register_code[] = { 0xa3, POINT_DATA & 0xff,
	POINT_DATA >> 8, 0, 0, 0x90, 0xe6, OUT_PORT };
/* int3: a triple fault where it does not exit, as there is no IDT. */
static const uint8_t int3_code[] = { 0xcc };

static const struct {
	size_t feature; /* offset into struct kvm_features */
	const uint8_t *code;
	size_t len;
	uint32_t control;
	uint32_t gla, dr7;
} debug_table[] = {
	{ offsetof(struct kvm_features, exec_points), register_code,
	    sizeof(register_code), KVM_GUESTDBG_USE_HW_BP, POINT_CODE,
	    DR7_EXEC0 },
	{ offsetof(struct kvm_features, data_points), register_code,
	    sizeof(register_code), KVM_GUESTDBG_USE_HW_BP, POINT_DATA,
	    DR7_WRITE0 },
	{ offsetof(struct kvm_features, int3_exits), int3_code,
	    sizeof(int3_code), KVM_GUESTDBG_USE_SW_BP, 0, 0 },
};

/* Whether that stops a guest: 1, 0, -errno. */
static int
try_debug(int sys_fd, size_t i)
{
	struct kvm_guest_debug d = {
		.control = KVM_GUESTDBG_ENABLE | debug_table[i].control,
		.arch.debugreg = { [0] = debug_table[i].gla,
		    [7] = debug_table[i].dr7 },
	};
	struct measure m = {
		.vm = -1, .vcpu = -1, .code = MAP_FAILED, .run = MAP_FAILED
	};
	int err =
	    measure_init(sys_fd, &m, debug_table[i].code, debug_table[i].len);

	if (err >= 0)
		err = kvm_try(m.vcpu, KVM_SET_GUEST_DEBUG, &d);
	do {
		if (err >= 0 || err == -EINTR)
			err = kvm_try(m.vcpu, KVM_RUN, NULL);
	} while (err == -EINTR);
	/* Where the emulator does not know INT3 that is as good. */
	if (err >= 0)
		err = m.run->exit_reason == KVM_EXIT_DEBUG ||
		      (debug_table[i].code == int3_code &&
			  m.run->exit_reason == KVM_EXIT_INTERNAL_ERROR);
	measure_fini(&m);
	return err;
}

int
kvm_find_debug(int sys_fd, struct kvm_features *f)
{
	for (size_t i = 0; i < ARRAY_LEN(debug_table); i++) {
		int err = try_debug(sys_fd, i);

		if (err < 0) {
			log_error("kvm: trying breakpoints: %s: %s",
			    kvm_failed_name(), strerror(-err));
			return err;
		}
		*(bool *)((char *)f + debug_table[i].feature) = err > 0;
	}
	f->debug_known = true;
	return 0;
}

int
kvm_probe(char *why, size_t why_len)
{
	uint64_t rate = 0;
	int fd = kvm_open(why, why_len), err;

	if (fd < 0)
		return fd;
	err = check_required(fd, why, why_len);
	if (err == 0) {
		err = kvm_measure(fd, &rate);
		if (err < 0)
			snprintf(why, why_len, "KVM runs no guest code: %s: %s",
			    kvm_failed_name(), strerror(-err));
	}
	close(fd);
	if (err < 0)
		return err;
	snprintf(why, why_len, "%s, %lu million instructions/s in ring 0",
	    rate < KVM_HARDWARE_RATE ? "this KVM emulates" : "hardware",
	    (unsigned long)(rate / 1000000));
	return rate < KVM_HARDWARE_RATE ? VM_ENGINE_SLOW : 0;
}
