/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.c - vm_run(): enter the guest, answer its exits, leave when the machine
 * must know (docs/architecture.md has the table).
 *
 * Another thread that wants this one out of the guest sets run->immediate_exit,
 * which refuses the next entry, and sends a signal, which ends the present one.
 * The signal's handler does nothing.  vcpu_tid() says whether there is anybody
 * to signal; it does before immediate_exit is cleared and events are looked at,
 * so a post is seen either here or by KVM_RUN.
 *
 * The kernel finishes a port or MMIO access, or an MSR's, at the start of the
 * next KVM_RUN.  Nobody outside sees a half-done instruction: kvm_finish()
 * comes before everything that shows registers.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/exception.h>
#include <vmm/vm.h>

#include "step.h"

#define KICK_SIGNAL SIGRTMIN

/* --- kicks ---------------------------------------------------------------- */

static void
on_kick(int sig)
{
	(void)sig;
}

static pthread_once_t kick_once = PTHREAD_ONCE_INIT;
static int kick_err;

static void
kick_install(void)
{
	/* Restarting spares the system calls of bus handlers; KVM_RUN ends
	 * all the same. */
	struct sigaction sa = { .sa_handler = on_kick, .sa_flags = SA_RESTART };

	sigemptyset(&sa.sa_mask);
	if (sigaction(KICK_SIGNAL, &sa, NULL) != 0)
		kick_err = -errno;
}

int
kvm_kick_init(void)
{
	pthread_once(&kick_once, kick_install);
	return kick_err;
}

void
kvm_vcpu_kick(struct vcpu *vcpu)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	int32_t tid;

	__atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	tid = vcpu_tid(vcpu);
	if (tid != 0)
		(void)syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

/* A thread of a program that blocks all signals must still hear this one. */
static void
thread_ready(void)
{
	static __thread bool ready;
	sigset_t set;

	if (ready)
		return;
	sigemptyset(&set);
	sigaddset(&set, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	ready = true;
}

/* --- entering ------------------------------------------------------------- */

/*
 * Changed registers go with the entry where the kernel takes them.  They come
 * with the exit when somebody wanted those of the last one: single steps do,
 * port and memory accesses do not, and copying them is a tenth of their cost.
 */
static int
hand_over(struct kvm_cpu *k)
{
	if (k->vm->has.sync_regs) {
		k->run->kvm_valid_regs = k->regs_asked ? KVM_SYNC_X86_REGS : 0;
		if (k->regs_dirty)
			k->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
		k->regs_dirty = false;
	}
	k->regs_asked = false;
	return k->regs_dirty || k->sregs_dirty || k->debugregs_dirty
		   ? kvm_regs_flush(k)
		   : 0;
}

static int
enter(struct kvm_cpu *k)
{
	int err = hand_over(k);

	if (err < 0)
		return err;
	err = kvm_enter(k->fd);
	k->unfinished = false;
	kvm_regs_forget(k);
	kvm_late(k);
	return err;
}

/* --- leaving -------------------------------------------------------------- */

enum next { STAY, LEAVE };

static enum next
leave(struct kvm_cpu *k, struct vm_exit *x, enum vm_exitcode code)
{
	x->exitcode = code;
	x->inst_length = 0;
	x->rip = k->exit_rip = kvm_rip(k);
	return LEAVE;
}

static enum next
leave_failed(struct kvm_cpu *k, struct vm_exit *x, int status, const char *what)
{
	leave(k, x, VM_EXITCODE_VMX);
	x->u.vmx.status = status;
	x->u.vmx.what = what;
	return LEAVE;
}

static enum next
leave_stopped(struct kvm_cpu *k, struct vm_exit *x)
{
	enum vm_suspend_how how = vm_suspended(k->vm->ctx);

	leave(k, x,
	    how == VM_SUSPEND_NONE ? VM_EXITCODE_BOGUS : VM_EXITCODE_SUSPENDED);
	if (how != VM_SUSPEND_NONE)
		x->u.suspended.how = how;
	return LEAVE;
}

/* The instruction is done when vm_run() returns, whatever it was. */
static enum next
leave_finished(struct kvm_cpu *k, struct vm_exit *x)
{
	int err = k->finishing ? 0 : kvm_finish(k);

	return err == 0 ? LEAVE
			: leave_failed(k, x, err, "KVM_RUN fails to finish");
}

/* --- ports and memory ----------------------------------------------------- */

/* Of 1, 2 or 4 bytes; by width, as a copy of any length is a call. */
static uint32_t
load(const uint8_t *p, unsigned int bytes)
{
	return bytes == 4 ? get_le32(p) : bytes == 2 ? get_le16(p) : *p;
}

static void
store(uint8_t *p, unsigned int bytes, uint32_t val)
{
	if (bytes == 4)
		put_le32(p, val);
	else if (bytes == 2)
		put_le16(p, (uint16_t)val);
	else
		*p = (uint8_t)val;
}

/*
 * A processor's exit is at the OUT; KVM's emulator has stepped over it by then,
 * so that its bytes must say where it was.
 */
static uint64_t
rip_of_out(struct kvm_cpu *k, uint64_t behind)
{
	const struct kvm_sregs *s = kvm_sregs(k);
	const struct kvm_run *r = k->run;
	bool long_mode = false, prefix;
	uint8_t code[3]; /* 66 E7 port, or 66 EF */
	unsigned int len;

	for (size_t i = 0; i < sizeof(code); i++)
		if (kvm_fetch_code(k, behind - sizeof(code) + i, &code[i], 1,
			&long_mode) != 1)
			return behind;
	if ((code[1] & 0xfe) == 0xe6 && code[2] == r->io.port)
		len = 2;
	else if ((code[2] & 0xfe) == 0xee)
		len = 1;
	else
		return behind;
	prefix = r->io.size == (long_mode || s->cs.db ? 2 : 4);
	return behind - len - (prefix && code[2 - len] == 0x66);
}

/* An unclaimed port, under strict I/O; the rest of a string is not run. */
static enum next
unclaimed(struct kvm_cpu *k, struct vm_exit *x, uint32_t val)
{
	const struct kvm_run *r = k->run;

	leave(k, x, VM_EXITCODE_INOUT);
	x->u.inout.in = r->io.direction == KVM_EXIT_IO_IN;
	if (!x->u.inout.in && !k->vm->has.hardware)
		x->rip = k->exit_rip = rip_of_out(k, x->rip);
	x->u.inout.bytes = r->io.size;
	x->u.inout.port = r->io.port;
	x->u.inout.eax = val;
	return leave_finished(k, x);
}

static enum next
exit_io(struct kvm_cpu *k, struct vm_exit *x)
{
	struct kvm_run *r = k->run;
	bool in = r->io.direction == KVM_EXIT_IO_IN;
	uint8_t *p = (uint8_t *)r + r->io.data_offset;
	unsigned int bytes = r->io.size;

	k->unfinished = true;
	for (uint32_t i = 0; i < r->io.count; i++, p += bytes) {
		uint32_t val = in ? UINT32_MAX : load(p, bytes);
		enum bus_result res =
		    bus_pio(k->vcpu, in, r->io.port, bytes, &val);

		if (in)
			store(p, bytes, val);
		if (unlikely(res == BUS_UNCLAIMED))
			return unclaimed(k, x, val);
	}
	return STAY;
}

/* The bus knows 1, 2, 4 and 8 bytes; a split access leaves odd pieces. */
static unsigned int
piece(uint64_t gpa, unsigned int left)
{
	unsigned int n = 8;

	while (n > left || (left != n && (gpa & (n - 1)) != 0))
		n /= 2;
	return n;
}

static enum next
exit_mmio(struct kvm_cpu *k, struct vm_exit *x)
{
	struct kvm_run *r = k->run;
	bool write = r->mmio.is_write != 0;

	k->unfinished = true;
	if (likely(r->mmio.len == 4)) { /* nearly all are */
		uint64_t val = load(r->mmio.data, 4);

		bus_mmio(k->vcpu, write, r->mmio.phys_addr, 4, &val);
		store(r->mmio.data, 4, (uint32_t)val);
		return STAY;
	}
	for (unsigned int off = 0; off < r->mmio.len;) {
		uint64_t gpa = r->mmio.phys_addr + off, val = 0;
		unsigned int n = piece(gpa, r->mmio.len - off);

		if (write)
			memcpy(&val, r->mmio.data + off, n);
		bus_mmio(k->vcpu, write, gpa, n, &val);
		if (!write)
			memcpy(r->mmio.data + off, &val, n);
		off += n;
	}
	return STAY;
}

/* --- MSRs ----------------------------------------------------------------- */

static enum next
unknown_msr(struct kvm_cpu *k, struct vm_exit *x, bool write)
{
	leave(k, x, write ? VM_EXITCODE_WRMSR : VM_EXITCODE_RDMSR);
	x->u.msr.code = k->run->msr.index;
	x->u.msr.wval = write ? k->run->msr.data : 0;
	return leave_finished(k, x);
}

static enum next
exit_msr(struct kvm_cpu *k, struct vm_exit *x)
{
	struct kvm_run *r = k->run;
	bool write = r->exit_reason == KVM_EXIT_X86_WRMSR;
	uint64_t val = write ? r->msr.data : 0;
	enum msr_result res = write ? bus_wrmsr(k->vcpu, r->msr.index, val)
				    : bus_rdmsr(k->vcpu, r->msr.index, &val);

	k->unfinished = true;
	r->msr.error = res == MSR_GP;
	r->msr.data = res == MSR_UNKNOWN && !write ? 0 : val;
	return res == MSR_UNKNOWN ? unknown_msr(k, x, write) : STAY;
}

/* --- the rest ------------------------------------------------------------- */

static enum next
exit_hlt(struct kvm_cpu *k, struct vm_exit *x)
{
	const struct kvm_regs *regs = kvm_regs(k);

	leave(k, x, VM_EXITCODE_HLT);
	x->u.hlt.rflags = regs != NULL ? regs->rflags : 0;
	return LEAVE;
}

/* Triple fault (SDM 3A 6.15): as FreeBSD's vmm, the machine ends. */
static enum next
exit_shutdown(struct kvm_cpu *k, struct vm_exit *x)
{
	(void)vm_suspend(k->vm->ctx, VM_SUSPEND_TRIPLEFAULT);
	return leave_stopped(k, x);
}

static enum next
exit_system_event(struct kvm_cpu *k, struct vm_exit *x)
{
	enum vm_suspend_how how =
	    k->run->system_event.type == KVM_SYSTEM_EVENT_RESET
		? VM_SUSPEND_RESET
		: VM_SUSPEND_POWEROFF;

	(void)vm_suspend(k->vm->ctx, how);
	return leave_stopped(k, x);
}

static enum next
exit_fail_entry(struct kvm_cpu *k, struct vm_exit *x)
{
	return leave_failed(k, x,
	    (int)k->run->fail_entry.hardware_entry_failure_reason,
	    "the processor refuses to enter the guest");
}

static enum next
exit_debug(struct kvm_cpu *k, struct vm_exit *x)
{
	leave(k, x, VM_EXITCODE_DEBUG);
	return kvm_exit_debug(k, x) ? LEAVE : STAY;
}

/* Linux uapi kvm.h, KVM_INTERNAL_ERROR_*. */
static const char *const internal_table[] = {
	[KVM_INTERNAL_ERROR_EMULATION] = "KVM cannot emulate the instruction",
	[KVM_INTERNAL_ERROR_SIMUL_EX] = "exceptions at the same time",
	[KVM_INTERNAL_ERROR_DELIVERY_EV] =
	    "an exit in the middle of a delivery",
	[KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON] =
	    "an exit KVM does not know",
};

static bool
is_user(struct kvm_cpu *k)
{
	const struct kvm_sregs *s = kvm_sregs(k);

	return s != NULL && s->ss.dpl == 3;
}

/*
 * What KVM's emulator lacks, the software CPU does, once, on the same state.
 * What neither knows ends the machine, but in ring 3: it is #UD there, as the
 * kernel has it by itself.
 */
static enum next
exit_internal(struct kvm_cpu *k, struct vm_exit *x)
{
	uint32_t why = k->run->internal.suberror;
	const char *what =
	    why < ARRAY_LEN(internal_table) ? internal_table[why] : NULL;
	int err;

	if (why != KVM_INTERNAL_ERROR_EMULATION)
		return leave_failed(k, x, (int)why,
		    what != NULL ? what : "an internal error of KVM");
	leave(k, x, VM_EXITCODE_BOGUS);
	if (kvm_debug_int3(k, x))
		return LEAVE;
	err = kvm_step(k, x);
	if (err == -ENOTSUP && is_user(k))
		err = kvm_inject(k->vcpu, EXC_UD, false, 0, false);
	if (err == 0 && k->cap[VM_CAP_MTRAP_EXIT])
		return leave(k, x, VM_EXITCODE_MTRAP);
	if (err < 0)
		return leave_failed(k, x, (int)why, what);
	return err == 0 ? STAY : LEAVE;
}

typedef enum next (*exit_fn)(struct kvm_cpu *, struct vm_exit *);

static const exit_fn exit_table[] = {
	[KVM_EXIT_IO] = exit_io,
	[KVM_EXIT_MMIO] = exit_mmio,
	[KVM_EXIT_X86_RDMSR] = exit_msr,
	[KVM_EXIT_X86_WRMSR] = exit_msr,
	[KVM_EXIT_HLT] = exit_hlt,
	[KVM_EXIT_SHUTDOWN] = exit_shutdown,
	[KVM_EXIT_SYSTEM_EVENT] = exit_system_event,
	[KVM_EXIT_FAIL_ENTRY] = exit_fail_entry,
	[KVM_EXIT_DEBUG] = exit_debug,
	[KVM_EXIT_INTERNAL_ERROR] = exit_internal,
};

static enum next
handle(struct kvm_cpu *k, struct vm_exit *x)
{
	uint32_t why = k->run->exit_reason;

	if (why == KVM_EXIT_INTR)
		return STAY;
	if (likely(why < ARRAY_LEN(exit_table) && exit_table[why] != NULL))
		return exit_table[why](k, x);
	return leave_failed(
	    k, x, (int)why, "an exit this engine does not know");
}

/* --- finishing ------------------------------------------------------------ */

/* One more piece of the same access; what is unclaimed was told with the first.
 */
static bool
finish_piece(struct kvm_cpu *k)
{
	struct vm_exit unused;
	exit_fn fn = NULL;

	switch (k->run->exit_reason) {
	case KVM_EXIT_IO:
	case KVM_EXIT_MMIO:
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		fn = exit_table[k->run->exit_reason];
		break;
	default:
		return false;
	}
	(void)fn(k, &unused);
	return true;
}

/*
 * An access across pages and a string come in pieces; a step ends here, too.
 * The kernel breaks strings off after some.
 */
int
kvm_finish(struct kvm_cpu *k)
{
	int err = 0;

	k->finishing = true;
	while (k->unfinished && err == 0) {
		__atomic_store_n(&k->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		err = enter(k);
		if (err == 0 && !finish_piece(k))
			k->owes_exit = true;
	}
	k->finishing = false;
	return err == -EINTR || err == -EAGAIN ? 0 : err;
}

/* --- events from other threads -------------------------------------------- */

static enum next
take_events(struct kvm_cpu *k, struct vm_exit *x)
{
	uint32_t ev = vcpu_take(k->vcpu, UINT32_MAX);
	int err = kvm_finish(k);

	if (err < 0)
		return leave_failed(k, x, err, "KVM_RUN fails to finish");
	if (ev & VCPU_EV_ENGINE) {
		kvm_watch_answer(k);
		err = kvm_local_irqs(k);
	}
	if (err >= 0 && ev & VCPU_EV_NMI)
		err = kvm_ioctl(k->fd, KVM_NMI, NULL);
	if (err < 0)
		return leave_failed(
		    k, x, err, "an interrupt for the processor");
	return ev & VCPU_EV_STOP ? leave_stopped(k, x) : STAY;
}

/* KVM_RUN's own failures. */
static enum next
run_failed(struct kvm_cpu *k, struct vm_exit *x, int err)
{
	if (err == -EINTR || err == -EAGAIN)
		return STAY;
	return leave_failed(k, x, err,
	    err == -EFAULT ? "guest memory that the host cannot provide"
			   : strerror(-err));
}

/* Before each entry: what is still to be told, or a step that needs help. */
static enum next
before_entry(struct kvm_cpu *k, struct vm_exit *x)
{
	if (unlikely(k->owes_exit)) {
		k->owes_exit = false;
		return handle(k, x);
	}
	if (unlikely(k->intinfo != 0)) {
		int err = kvm_intinfo_enter(k);

		if (err < 0)
			return leave_failed(k, x, err, "vm_set_intinfo()");
		if (vm_suspended(k->vm->ctx) != VM_SUSPEND_NONE)
			return leave_stopped(k, x);
	}
	if (likely(!k->cap[VM_CAP_MTRAP_EXIT]))
		return STAY;
	leave(k, x, VM_EXITCODE_BOGUS);
	if (!kvm_debug_step(k, x))
		return STAY;
	return x->exitcode == VM_EXITCODE_MTRAP ? leave(k, x, VM_EXITCODE_MTRAP)
						: LEAVE;
}

int
kvm_vcpu_run(struct vcpu *vcpu, struct vm_exit *x)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	const uint32_t *events = vcpu_events(vcpu);
	enum next next = STAY;
	int err = __atomic_load_n(&k->vm->broken, __ATOMIC_RELAXED);

	if (unlikely(err != 0)) {
		leave_failed(k, x, err, "the interrupt controllers");
		return 0;
	}
	thread_ready();
	while (next == STAY) {
		__atomic_store_n(&k->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(events, __ATOMIC_SEQ_CST) != 0) {
			next = take_events(k, x);
			continue;
		}
		next = before_entry(k, x);
		if (unlikely(next == LEAVE))
			break;
		err = enter(k);
		next = err < 0 ? run_failed(k, x, err) : handle(k, x);
	}
	return 0;
}
