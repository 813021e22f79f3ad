/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reset.c - a vCPU as after power-on (docs/bhyve.md 2.4; SDM 3A table 9-1).
 *
 * What the kernel gives a new vCPU (MSRs, vector state, local APIC) is noted
 * when it is made; a reset goes back to that, whichever MSRs this kernel has.
 * The registers that bhyve defines are set here.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>

#include <util/log.h>
#include <vmm/mem.h>
#include <vmm/topology.h>

#define ACCESS_DATA16 0x93u
#define ACCESS_TSS    0x8bu
#define ACCESS_LDT    0x82u
#define CR0_NE	      0x20u
#define RDX_SIGNATURE 0xf00u
#define APIC_BASE     0xfee00000u
#define APIC_BSP      0x100u
#define APIC_EXTD     0x400u
#define APIC_ENABLED  0x800u
#define DR6_POWER_ON  0xffff0ff0u
#define DR7_POWER_ON  0x400u

#define MSRS_MAX      512u
#define MSRS_AT_ONCE  255u /* Linux: less than MAX_IO_MSRS */

struct kvm_power_on {
	struct kvm_lapic_state lapic;
	struct kvm_msrs *msrs;
	struct kvm_xsave xsave; /* last: more may follow it */
};

/* --- noting it ------------------------------------------------------------ */

static struct kvm_msr_list *
msr_list(int sys_fd)
{
	size_t bytes =
	    sizeof(struct kvm_msr_list) + MSRS_MAX * sizeof(uint32_t);
	struct kvm_msr_list *list = calloc(1, bytes);
	int err = -ENOMEM;

	if (list != NULL) {
		list->nmsrs = MSRS_MAX;
		err = kvm_ioctl(sys_fd, KVM_GET_MSR_INDEX_LIST, list);
	}
	if (err >= 0)
		return list;
	free(list);
	errno = -err;
	return NULL;
}

struct kvm_msrs *
kvm_msrs_alloc(uint32_t n)
{
	struct kvm_msrs *m =
	    calloc(1, sizeof(*m) + n * sizeof(struct kvm_msr_entry));

	if (m != NULL)
		m->nmsrs = n;
	return m;
}

/*
 * KVM_GET_MSRS or KVM_SET_MSRS of them all.  The kernel stops at one that it
 * refuses - this vCPU's CPUID leaves it out, or it will not take back what it
 * told - which is then no longer in *m.
 */
static int
msrs_move(struct kvm_cpu *k, unsigned long request, struct kvm_msrs *m)
{
	uint32_t total = m->nmsrs;
	struct kvm_msrs *part = kvm_msrs_alloc(total);
	int n = part != NULL ? 0 : -ENOMEM;

	m->nmsrs = 0;
	for (uint32_t i = 0; i < total && n >= 0;) {
		part->nmsrs = MIN(total - i, MSRS_AT_ONCE);
		memcpy(part->entries, m->entries + i,
		    part->nmsrs * sizeof(part->entries[0]));
		n = kvm_ioctl(k->fd, request, part);
		if (n < 0)
			break;
		memcpy(m->entries + m->nmsrs, part->entries,
		    (size_t)n * sizeof(part->entries[0]));
		m->nmsrs += (uint32_t)n;
		i += (uint32_t)n;
		if ((uint32_t)n < part->nmsrs) {
			log_debug("kvm: MSR %#x is left alone",
			    part->entries[n].index);
			i++;
		}
	}
	free(part);
	return MIN(n, 0);
}

/* NULL with errno. */
static struct kvm_msrs *
msrs_read(struct kvm_cpu *k)
{
	struct kvm_msr_list *list = msr_list(k->vm->sys_fd);
	struct kvm_msrs *m;
	int err;

	if (list == NULL)
		return NULL;
	m = kvm_msrs_alloc(list->nmsrs);
	err = m != NULL ? 0 : -ENOMEM;
	for (uint32_t i = 0; m != NULL && i < list->nmsrs; i++)
		m->entries[i].index = list->indices[i];
	free(list);
	if (err == 0)
		err = msrs_move(k, KVM_GET_MSRS, m);
	if (err < 0) {
		free(m);
		m = NULL;
		errno = -err;
	}
	return m;
}

int
kvm_power_on_save(struct kvm_cpu *k)
{
	struct kvm_power_on *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		return -ENOMEM;
	k->power_on = p;
	err = kvm_ioctl(k->fd, KVM_GET_XSAVE, &p->xsave);
	if (err >= 0)
		err = kvm_ioctl(k->fd, KVM_GET_LAPIC, &p->lapic);
	if (err < 0)
		return err;
	p->msrs = msrs_read(k);
	return p->msrs == NULL ? -errno : 0;
}

void
kvm_power_on_free(struct kvm_cpu *k)
{
	if (k->power_on == NULL)
		return;
	free(k->power_on->msrs);
	free(k->power_on);
	k->power_on = NULL;
}

/* --- going back to it ----------------------------------------------------- */

static struct kvm_segment
segment(uint16_t sel, uint64_t base, uint32_t access)
{
	return (struct kvm_segment){
		.base = base,
		.limit = 0xffff,
		.selector = sel,
		.type = access & 0xf,
		.present = 1,
		.s = (access & 0x10) != 0,
	};
}

static uint64_t
apic_base(const struct kvm_cpu *k)
{
	uint64_t base = APIC_BASE | APIC_ENABLED;

	if (vcpu_id(k->vcpu) == 0)
		base |= APIC_BSP;
	return k->vm->x2apic ? base | APIC_EXTD : base;
}

static void
registers_reset(struct kvm_cpu *k)
{
	struct kvm_segment data = segment(0, 0, ACCESS_DATA16);

	k->run->s.regs.regs = (struct kvm_regs){
		.rip = 0xfff0, .rflags = 2, .rdx = RDX_SIGNATURE
	};
	k->sregs = (struct kvm_sregs){
		.cs = segment(0xf000, 0xffff0000, ACCESS_DATA16),
		.ds = data,
		.es = data,
		.fs = data,
		.gs = data,
		.ss = data,
		.tr = segment(0, 0, ACCESS_TSS),
		.ldt = segment(0, 0, ACCESS_LDT),
		.gdt.limit = 0xffff,
		.idt.limit = 0xffff,
		.cr0 = CR0_NE,
		.apic_base = apic_base(k),
	};
	k->regs_valid = k->regs_dirty = true;
	k->sregs_valid = k->sregs_dirty = true;
	k->debugregs =
	    (struct kvm_debugregs){ .dr6 = DR6_POWER_ON, .dr7 = DR7_POWER_ON };
	k->debugregs_valid = k->debugregs_dirty = k->vm->has.debugregs;
}

static int
events_reset(struct kvm_cpu *k)
{
	struct kvm_vcpu_events ev = {
		.flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
			 KVM_VCPUEVENT_VALID_SHADOW,
	};

	return kvm_ioctl(k->fd, KVM_SET_VCPU_EVENTS, &ev);
}

static int
fpu_reset(struct kvm_cpu *k)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 1 };
	int err = kvm_try(k->fd, KVM_SET_XCRS, &xcrs);

	/* A host without XSAVE has no XCR0. */
	if (err < 0 && err != -EINVAL) {
		log_error("kvm: KVM_SET_XCRS: %s", strerror(-err));
		return err;
	}
	return kvm_ioctl(k->fd, KVM_SET_XSAVE, &k->power_on->xsave);
}

static int
apic_reset(struct kvm_cpu *k)
{
	struct kvm_lapic_state lapic = k->power_on->lapic;
	uint32_t id = vcpu_apic_id(k->vcpu);

	/*
	 * Offset 0x20: the id, in bits 31:24 in either mode, as long as nobody
	 * enabled KVM_CAP_X2APIC_API.
	 */
	put_le32(lapic.regs + 0x20, id << 24);
	return kvm_ioctl(k->fd, KVM_SET_LAPIC, &lapic);
}

/* The boot processor runs, the others wait (SDM 3A 8.4.1). */
static int
mp_reset(struct kvm_cpu *k)
{
	struct kvm_mp_state mp = {
		.mp_state = vcpu_id(k->vcpu) == 0 ? KVM_MP_STATE_RUNNABLE
						  : KVM_MP_STATE_UNINITIALIZED,
	};

	return kvm_ioctl(k->fd, KVM_SET_MP_STATE, &mp);
}

int
kvm_vcpu_reset(struct vcpu *vcpu)
{
	/* The APIC's mode is in the system registers, hence its place. */
	static int (*const step_table[])(struct kvm_cpu *) = { kvm_regs_flush,
		apic_reset, events_reset, fpu_reset, mp_reset };
	struct kvm_cpu *k = kvm_cpu_of(vcpu);
	int err = k->unfinished ? kvm_finish(k) : 0;

	k->owes_exit = k->own_tf = false;
	k->intinfo = 0;
	__atomic_store_n(&k->local_irqs, 0, __ATOMIC_SEQ_CST);
	registers_reset(k);
	if (err >= 0)
		err = msrs_move(k, KVM_SET_MSRS, k->power_on->msrs);
	for (size_t i = 0; i < ARRAY_LEN(step_table) && err >= 0; i++)
		err = step_table[i](k);
	return MIN(err, 0);
}
