/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.c - Linux's KVM as an engine (vmm/engine.h): machines and vCPUs are
 * made and undone here.  The processors' threads run from the start; those that
 * wait for a start-up message wait in the kernel.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <util/log.h>
#include <vmm/topology.h>

#include "step.h"

#define HALT_POLL_NS 1000000000u

/* --- machines ------------------------------------------------------------- */

/*
 * Without failure_exits the kernel makes #UD of what its emulator lacks, but in
 * ring 0 (step.c).
 */
static int
machine_caps(struct kvm_machine *vm)
{
	struct kvm_enable_cap msr = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args[0] =
		    KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER,
	};
	struct kvm_enable_cap failure = {
		.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args[0] = 1
	};
	int err = 0;

	if (vm->has.msr_exits)
		err = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &msr);
	if (err >= 0 && vm->has.failure_exits)
		err = kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &failure);
	return err;
}

/*
 * x86.vmexit_on_hlt=false: a halted vCPU keeps the host's CPU, by not leaving
 * the guest, or else by polling in the kernel, for a second after each HLT.
 * Before there is a vCPU.
 */
static int
keep_halted(struct kvm_machine *vm)
{
	const uint32_t exits =
	    vm->has.disable_exits &
	    (KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS,
		.args[0] = exits };

	if ((exits & KVM_X86_DISABLE_EXITS_HLT) == 0)
		cap = (struct kvm_enable_cap){ .cap = KVM_CAP_HALT_POLL,
			.args[0] = HALT_POLL_NS };
	if (cap.cap == KVM_CAP_HALT_POLL && !vm->has.halt_poll) {
		log_warn("x86.vmexit_on_hlt=false has no effect: this KVM has "
			 "neither KVM_CAP_X86_DISABLE_EXITS nor HALT_POLL");
		return 0;
	}
	vm->hlt_in_guest = cap.cap == KVM_CAP_X86_DISABLE_EXITS;
	return MIN(kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &cap), 0);
}

static int
machine_init(struct kvm_machine *vm)
{
	char why[256];
	int err;

	vm->sys_fd = kvm_open(why, sizeof(why));
	if (vm->sys_fd < 0) {
		log_error("kvm: %s", why);
		return vm->sys_fd;
	}
	kvm_find_features(vm->sys_fd, &vm->has);
	err = kvm_ioctl(vm->sys_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (err < 0)
		return err;
	vm->run_bytes = (size_t)err;
	vm->fd = kvm_ioctl(vm->sys_fd, KVM_CREATE_VM, NULL);
	if (vm->fd < 0)
		return vm->fd;
	err = machine_caps(vm);
	if (err >= 0)
		err = kvm_irqchip_make(vm);
	return err < 0 ? err : kvm_kick_init();
}

static void
kvm_vm_destroy(struct vmctx *ctx)
{
	struct kvm_machine *vm = kvm_machine_of(ctx);

	if (vm == NULL)
		return;
	kvm_watch_stop(vm);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->sys_fd >= 0)
		close(vm->sys_fd);
	kvm_fast_fini(vm);
	free(vm->dirty);
	free(vm->messages);
	free(vm->supported);
	free(vm->stats);
	free(vm);
	vm_set_engine_state(ctx, NULL);
}

static int
kvm_vm_create(struct vmctx *ctx)
{
	struct kvm_machine *vm = calloc(1, sizeof(*vm));
	int err;

	if (vm == NULL)
		return -ENOMEM;
	vm->ctx = ctx;
	vm->fd = vm->sys_fd = -1;
	kvm_fast_init(vm);
	vm_set_engine_state(ctx, vm);
	vm_set_cpu_vendor(ctx, kvm_cpuid_vendor());
	err = machine_init(vm);
	if (err < 0)
		kvm_vm_destroy(ctx);
	return err;
}

static int
kvm_mem_setup(struct vmctx *ctx)
{
	return kvm_set_slots(kvm_machine_of(ctx), 0);
}

/* The processor looks for itself. */
static void
kvm_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
}

/* --- processors ----------------------------------------------------------- */

static int
cpu_init(struct kvm_cpu *k)
{
	/* KVM's number of a processor is its APIC id. */
	unsigned long id = vcpu_apic_id(k->vcpu);
	int err;

	if (vcpu_id(k->vcpu) >= k->vm->has.max_vcpus) {
		log_error("kvm: this host allows %d virtual CPUs a machine",
		    k->vm->has.max_vcpus);
		return -EINVAL;
	}
	if (vm_hlt_poll(k->vm->ctx) && !k->vm->halts_kept) {
		k->vm->halts_kept = true;
		err = keep_halted(k->vm);
		if (err < 0)
			return err;
	}
	k->fd = kvm_ioctl_val(k->vm->fd, KVM_CREATE_VCPU, id);
	if (k->fd < 0)
		return k->fd;
	k->run = kvm_map_run(k->fd, k->vm->run_bytes);
	if (k->run == MAP_FAILED) {
		err = -errno;
		log_error("kvm: %s: %s", kvm_failed_name(), strerror(-err));
		return err;
	}
	kvm_late_map(k);
	err = kvm_try(k->fd, KVM_GET_TSC_KHZ, NULL);
	if (err > 0)
		k->vm->tsc_khz = (uint32_t)err;
	kvm_stats_open(k);
	err = kvm_cpuid_set(k);
	if (err == 0)
		err = kvm_power_on_save(k);
	return err < 0 ? err : kvm_vcpu_reset(k->vcpu);
}

static void
kvm_vcpu_destroy(struct vcpu *vcpu)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);

	if (k == NULL)
		return;
	kvm_step_free(k);
	kvm_stats_close(k);
	kvm_power_on_free(k);
	kvm_late_unmap(k);
	if (k->run != MAP_FAILED)
		munmap(k->run, k->vm->run_bytes);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
	vcpu_set_engine_state(vcpu, NULL);
}

static int
kvm_vcpu_create(struct vcpu *vcpu)
{
	struct kvm_cpu *k = calloc(1, sizeof(*k));
	int err;

	if (k == NULL)
		return -ENOMEM;
	k->vm = kvm_machine_of(vcpu_vm(vcpu));
	k->vcpu = vcpu;
	k->fd = k->stats_fd = -1;
	k->run = MAP_FAILED;
	vcpu_set_engine_state(vcpu, k);
	err = cpu_init(k);
	if (err < 0)
		kvm_vcpu_destroy(vcpu);
	return err;
}

/* --- capabilities --------------------------------------------------------- */

/*
 * Halted vCPUs sleep in the kernel, so that -H asks for what is so.  Of PAUSE
 * exits the kernel takes those of a loop, to yield, and tells nobody.
 */
static int
kvm_get_cap(struct vcpu *vcpu, enum vm_cap_type cap, int *ret_val)
{
	*ret_val =
	    cap == VM_CAP_UNRESTRICTED_GUEST || cap == VM_CAP_ENABLE_INVPCID
		? 1
		: kvm_cpu_of(vcpu)->cap[cap];
	return 0;
}

static int
kvm_set_cap(struct vcpu *vcpu, enum vm_cap_type cap, int val)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	int err =
	    cap == VM_CAP_BPT_EXIT && val != 0 ? kvm_debug_check_int3(k) : 0;

	if (err < 0)
		return err;
	if (cap == VM_CAP_UNRESTRICTED_GUEST || cap == VM_CAP_ENABLE_INVPCID)
		return val != 0 ? 0 : -ENOTSUP;
	if (cap == VM_CAP_PAUSE_EXIT)
		return val == 0 ? 0 : -ENOTSUP;
	if (cap == VM_CAP_MTRAP_EXIT)
		return kvm_debug_set_step(k, val != 0);
	k->cap[cap] = val != 0;
	if (cap == VM_CAP_HALT_EXIT)
		return 0;
	return kvm_debug_update(k);
}

static int
kvm_restart_insn(struct vcpu *vcpu)
{
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	struct kvm_regs *regs = kvm_regs(k);

	if (regs == NULL)
		return -EIO;
	if (regs->rip != k->exit_rip) {
		regs->rip = k->exit_rip;
		k->regs_dirty = true;
	}
	return 0;
}

extern const struct vm_engine_ops kvm_engine_ops;
const struct vm_engine_ops kvm_engine_ops = {
	.name = "kvm",
	.summary = "hardware virtualization, Linux's /dev/kvm",
	.keeps_idle = true,
	.probe = kvm_probe,
	.vm_create = kvm_vm_create,
	.vm_destroy = kvm_vm_destroy,
	.mem_setup = kvm_mem_setup,
	.mem_written = kvm_mem_written,
	.irqchip_create = kvm_irqchip_create,
	.pit_create = kvm_pit_create,
	.vcpu_create = kvm_vcpu_create,
	.vcpu_destroy = kvm_vcpu_destroy,
	.vcpu_reset = kvm_vcpu_reset,
	.vcpu_run = kvm_vcpu_run,
	.vcpu_kick = kvm_vcpu_kick,
	.vcpu_stats = kvm_vcpu_stats,
	.get_reg = kvm_get_reg,
	.set_reg = kvm_set_reg,
	.get_desc = kvm_get_desc,
	.set_desc = kvm_set_desc,
	.get_cap = kvm_get_cap,
	.set_cap = kvm_set_cap,
	.inject = kvm_inject,
	.restart_insn = kvm_restart_insn,
	.gla2gpa = kvm_gla2gpa,
	.set_debug = kvm_set_debug,
	.get_xsave = kvm_get_xsave,
	.set_xsave = kvm_set_xsave,
	.set_intinfo = kvm_set_intinfo,
	.get_intinfo = kvm_get_intinfo,
	.ioevent_set = kvm_ioevent_set,
	.posted_set = kvm_posted_set,
	.dirty_log = kvm_dirty_log,
	.dirty_fetch = kvm_dirty_fetch,
};
