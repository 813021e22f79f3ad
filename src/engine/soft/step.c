/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.c - the software CPU lent to another engine (vmm/step.h).
 *
 * A CPU of its own for each vCPU, without event loop and local APIC: state in,
 * one instruction, the exception it raised, state out.  Translations and
 * what was decoded at RIP are dropped each time.  Ordinary C.
 */
#include <vmm/step.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fpu.h"
#include "make.h"
#include "mmu.h"
#include "run.h"
#include "smc.h"
#include "sys.h"

#define CR4_LA57       0x1000u
#define INSN_MAX_BYTES 15u

/* XSAVE area, SDM 1 13.4 and 10.5.1: opcode, instruction and data pointers. */
#define XSAVE_FOP    6u
#define XSAVE_FIP    8u
#define XSAVE_FDP    16u
#define XSAVE_HEADER 512u

struct step_cpu {
	struct soft_cpu *c;
	struct soft_vm vm;
	uint32_t no_events;
	uint64_t stats[VMSTAT_COUNT_]; /* nobody's */
};

const uint32_t step_msr_table[STEP_NMSRS] = {
	0xc0000081, /* STAR */
	0xc0000082, /* LSTAR */
	0xc0000083, /* CSTAR */
	0xc0000084, /* SFMASK */
	0xc0000102, /* KERNEL_GS_BASE */
	0x174,	    /* SYSENTER_CS */
	0x175,	    /* SYSENTER_ESP */
	0x176,	    /* SYSENTER_EIP */
	0xc0000103, /* TSC_AUX */
};

static const size_t msr_field_table[STEP_NMSRS] = {
	offsetof(struct soft_cpu, star),
	offsetof(struct soft_cpu, lstar),
	offsetof(struct soft_cpu, cstar),
	offsetof(struct soft_cpu, sfmask),
	offsetof(struct soft_cpu, kernel_gs_base),
	offsetof(struct soft_cpu, sysenter_cs),
	offsetof(struct soft_cpu, sysenter_esp),
	offsetof(struct soft_cpu, sysenter_eip),
	offsetof(struct soft_cpu, tsc_aux),
};

/* --- making one ----------------------------------------------------------- */

int
step_create(struct vcpu *vcpu, struct step_cpu **ret_cpu)
{
	struct step_cpu *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return -ENOMEM;
	err = soft_vm_init(&s->vm, vcpu_vm(vcpu));
	if (err == 0)
		err = smc_create(&s->vm);
	if (err == 0)
		err = soft_cpu_create(
		    &s->vm, vcpu, &s->no_events, s->stats, &s->c);
	if (err != 0) {
		step_destroy(s);
		return err;
	}
	*ret_cpu = s;
	return 0;
}

void
step_destroy(struct step_cpu *s)
{
	if (s == NULL)
		return;
	soft_cpu_destroy(s->c);
	soft_vm_fini(&s->vm);
	free(s);
}

/* --- state in and out ----------------------------------------------------- */

static uint64_t *
msr_field(struct soft_cpu *c, unsigned int n)
{
	return (uint64_t *)((char *)c + msr_field_table[n]);
}

/* The pointers of the last x87 instruction are apart (fpu.h). */
static void
xsave_in(struct soft_cpu *c, const uint8_t *buf)
{
	memcpy(c->xsave, buf, VM_XSAVE_BYTES);
	c->fpu_op = get_le16(buf + XSAVE_FOP);
	c->fpu_ip = get_le64(buf + XSAVE_FIP);
	c->fpu_dp = get_le64(buf + XSAVE_FDP);
	put_le16(c->xsave + XSAVE_FOP, 0);
	put_le64(c->xsave + XSAVE_FIP, 0);
	put_le64(c->xsave + XSAVE_FDP, 0);
	/* All components are there, in their initial state if need be. */
	put_le64(c->xsave + XSAVE_HEADER, fpu_xcr0_supported());
	memset(c->xsave + XSAVE_HEADER + 8, 0, 56);
}

static void
xsave_out(const struct soft_cpu *c, uint8_t *buf)
{
	memcpy(buf, c->xsave, VM_XSAVE_BYTES);
	put_le16(buf + XSAVE_FOP, c->fpu_op);
	put_le64(buf + XSAVE_FIP, c->fpu_ip);
	put_le64(buf + XSAVE_FDP, c->fpu_dp);
	/*
	 * XSAVE calls SSE unused when XMM0-15 are zero; without it the other
	 * engine would not take MXCSR.
	 */
	put_le64(buf + XSAVE_HEADER, fpu_xcr0_supported());
}

static void
state_in(struct soft_cpu *c, const struct step_state *st, bool bpt_exit)
{
	c->exc.pending = c->delivering = c->injected = false;
	c->halted = c->wait_sipi = c->tf_skip = c->ss_shadow = false;
	c->db_pending = 0;
	c->nmi_blocked = st->nmi_masked;
	c->xcr0 = st->xcr0;
	c->cap[VM_CAP_BPT_EXIT] = bpt_exit;
	c->cap[VM_CAP_MTRAP_EXIT] = true; /* one instruction a block */
	for (unsigned int n = 0; n < STEP_NMSRS; n++)
		*msr_field(c, n) = st->msr[n];
	xsave_in(c, st->xsave);
	soft_set_all(c, st->reg, st->desc);
}

static void
state_out(struct soft_cpu *c, struct step_state *st)
{
	fpu_park(c);
	for (unsigned int r = 0; r < VM_REG_LAST; r++) {
		(void)soft_get_reg(c, (enum vm_reg_name)r, &st->reg[r]);
		(void)soft_get_desc(c, (enum vm_reg_name)r, &st->desc[r]);
	}
	for (unsigned int n = 0; n < STEP_NMSRS; n++)
		st->msr[n] = *msr_field(c, n);
	st->xcr0 = c->xcr0;
	st->nmi_masked = c->nmi_blocked;
	xsave_out(c, st->xsave);
}

/* --- the step ------------------------------------------------------------- */

/* What the software CPU would do otherwise than the guest's own. */
static bool
is_foreign(const struct step_state *st)
{
	return (st->reg[VM_REG_GUEST_CR4] & CR4_LA57) != 0 ||
	       (st->xcr0 & ~fpu_xcr0_supported()) != 0;
}

/*
 * The bytes at RIP may have changed since they were decoded: nobody told the
 * software CPU.  What else it has decoded is looked at when RIP is there.
 */
static void
forget_code(struct soft_cpu *c)
{
	uint64_t la = c->rip, gpa, off;
	unsigned int left = INSN_MAX_BYTES, n;

	if (!(c->mode & MODE_64))
		la = (uint32_t)(c->seg[SEG_CS].base + la);
	for (; left > 0; la += n, left -= n) {
		n = MIN(left, (unsigned int)(0x1000 - (la & 0xfff)));
		if (!mmu_translate_debug(c, la, &gpa))
			continue;
		off = vm_ram_offset(c->ram, gpa);
		if (off != UINT64_MAX)
			smc_wrote(c->vm, NULL, off, n);
	}
}

static enum step_result
result_of(struct soft_cpu *c, struct vm_exit *ret_exit)
{
	switch (c->leave) {
	case LEAVE_HLT:
		return STEP_HALT;
	case LEAVE_SHUTDOWN:
		return STEP_SHUTDOWN;
	case LEAVE_EXIT:
		if (c->exit.exitcode == VM_EXITCODE_MTRAP)
			return STEP_DONE;
		*ret_exit = c->exit;
		c->rip = c->exit_next_rip;
		return STEP_EXIT;
	case LEAVE_NONE:
	case LEAVE_RESYNC:
		break;
	}
	return STEP_DONE;
}

enum step_result
step_run(struct step_cpu *s, struct step_state *st, bool bpt_exit,
    struct vm_exit *ret_exit)
{
	struct soft_cpu *c = s->c;
	enum step_result result;

	if (is_foreign(st))
		return STEP_REFUSED;
	state_in(c, st, bpt_exit);
	smc_enter_guest(c);
	forget_code(c);
	soft_step(c);
	if (c->exc.pending) {
		cpu_deliver_exception(c);
		fpu_park(c);
	}
	smc_leave_guest(c);
	result = result_of(c, ret_exit);
	state_out(c, st);
	return result;
}
