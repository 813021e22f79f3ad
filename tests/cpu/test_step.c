/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One instruction by the software CPU for another engine (vmm/step.h): state
 * in, state out, with what KVM's emulator is known to lack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <vmm/bus.h>
#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/step.h>
#include <vmm/vm.h>

#define RAM_BYTES   (4u << 20)
#define PML4	    0x1000u
#define PDPT	    0x2000u
#define GDT	    0x3000u
#define IDT	    0x4000u
#define CODE	    0x8000u
#define STACK	    0x9000u
#define DATA	    0xa000u
#define HANDLER	    0xb000u
#define MMIO	    0x10000000u

#define DESC_CODE64 0xa09bu
#define DESC_DATA   0xc093u

struct fixture {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	struct step_cpu *cpu;
	struct step_state st;
	uint64_t port_value;
};

static void
put64(struct fixture *f, uint64_t gpa, uint64_t val)
{
	assert_int_equal(vm_mem_write(f->ctx, gpa, &val, sizeof(val)), 0);
}

static uint64_t
get64(struct fixture *f, uint64_t gpa)
{
	uint64_t val = 0;

	assert_int_equal(vm_mem_read(f->ctx, gpa, &val, sizeof(val)), 0);
	return val;
}

/* An interrupt gate to HANDLER + 16 * vector. */
static void
gate(struct fixture *f, unsigned int vector)
{
	uint64_t to = HANDLER + 16 * vector;

	put64(f, IDT + 16 * vector,
	    (to & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (to >> 16) << 48);
	put64(f, IDT + 16 * vector + 8, 0);
}

/* Long mode, the low gibibyte mapped to itself, ring 0. */
static void
long_mode(struct fixture *f)
{
	struct step_state *s = &f->st;

	put64(f, PML4, PDPT | 3);
	put64(f, PDPT, 0x83); /* present, writable, 1 GiB */
	put64(f, GDT + 8, 0x00af9b000000ffff);
	put64(f, GDT + 16, 0x00cf93000000ffff);
	for (unsigned int v = 0; v < 32; v++)
		gate(f, v);
	memset(s, 0, sizeof(*s));
	s->reg[VM_REG_GUEST_CR0] = 0x80050033;
	s->reg[VM_REG_GUEST_CR3] = PML4;
	s->reg[VM_REG_GUEST_CR4] = 0x40620; /* PAE OSFXSR OSXMMEXCPT OSXSAVE */
	s->reg[VM_REG_GUEST_EFER] = 0xd01;
	s->reg[VM_REG_GUEST_RFLAGS] = 2;
	s->reg[VM_REG_GUEST_RIP] = CODE;
	s->reg[VM_REG_GUEST_RSP] = STACK;
	s->reg[VM_REG_GUEST_CS] = 8;
	s->desc[VM_REG_GUEST_CS] =
	    (struct seg_desc){ 0, 0xffffffff, DESC_CODE64 };
	for (int r = VM_REG_GUEST_ES; r <= VM_REG_GUEST_GS; r++)
		if (r != VM_REG_GUEST_CS) {
			s->reg[r] = 16;
			s->desc[r] =
			    (struct seg_desc){ 0, 0xffffffff, DESC_DATA };
		}
	s->desc[VM_REG_GUEST_GDTR] = (struct seg_desc){ GDT, 23, 0 };
	s->desc[VM_REG_GUEST_IDTR] = (struct seg_desc){ IDT, 511, 0 };
	s->desc[VM_REG_GUEST_TR] = (struct seg_desc){ 0, 103, 0x8b };
	s->desc[VM_REG_GUEST_LDTR] = (struct seg_desc){ 0, 0, 0x10000 };
	s->xcr0 = 3;
	s->xsave[24] = 0x80; /* MXCSR 0x1f80 */
	s->xsave[25] = 0x1f;
	s->xsave[0] = 0x7f; /* FCW 0x37f */
	s->xsave[1] = 3;
}

static const struct vm_engine_ops *
soft_engine(void)
{
	for (size_t i = 0; i < vm_engine_table_len; i++)
		if (strcmp(vm_engine_table[i]->name, "soft") == 0)
			return vm_engine_table[i];
	return NULL;
}

static int
setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	assert_int_equal(vm_new("step", soft_engine(), &f->ctx), 0);
	f->vcpu = vm_vcpu_open(f->ctx, 0);
	assert_non_null(f->vcpu);
	assert_int_equal(vm_setup_memory(f->ctx, RAM_BYTES, VM_MMAP_ALL), 0);
	assert_int_equal(step_create(f->vcpu, &f->cpu), 0);
	long_mode(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	step_destroy(f->cpu);
	vm_close(f->ctx);
	free(f);
	return 0;
}

static enum step_result
step(struct fixture *f, const void *code, size_t len)
{
	struct vm_exit x = { 0 };

	assert_int_equal(
	    vm_mem_write(f->ctx, f->st.reg[VM_REG_GUEST_RIP], code, len), 0);
	return step_run(f->cpu, &f->st, false, &x);
}
#define STEP(f, ...)                                                           \
	step((f), (const uint8_t[]){ __VA_ARGS__ },                            \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void
test_cmpxchg16b(void **state)
{
	struct fixture *f = *state;

	put64(f, DATA, 1);
	put64(f, DATA + 8, 2);
	f->st.reg[VM_REG_GUEST_RAX] = 1;
	f->st.reg[VM_REG_GUEST_RDX] = 2;
	f->st.reg[VM_REG_GUEST_RBX] = 3;
	f->st.reg[VM_REG_GUEST_RCX] = 4;
	f->st.reg[VM_REG_GUEST_RSI] = DATA;
	assert_int_equal(STEP(f, 0xf0, 0x48, 0x0f, 0xc7, 0x0e), STEP_DONE);
	assert_int_equal(get64(f, DATA), 3);
	assert_int_equal(get64(f, DATA + 8), 4);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RFLAGS] & 0x40, 0x40);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], CODE + 5);
}

/* With nothing but zeros in XMM0-15, MXCSR is a part of what is in use. */
static void
test_ldmxcsr(void **state)
{
	struct fixture *f = *state;

	put64(f, DATA, 0x1d80);
	f->st.reg[VM_REG_GUEST_RSI] = DATA;
	assert_int_equal(STEP(f, 0x0f, 0xae, 0x16), STEP_DONE);
	assert_int_equal(get_le32(f->st.xsave + 24), 0x1d80);
	assert_int_equal(get_le64(f->st.xsave + 512) & 3, 3);
}

/* The handler, the frame, and RIP behind the instruction. */
static void
test_int3(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(STEP(f, 0xcc), STEP_DONE);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], HANDLER + 16 * 3);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RSP], STACK - 40);
	assert_int_equal(get64(f, STACK - 40), CODE + 1);
	assert_int_equal(get64(f, STACK - 32), 8);
	assert_int_equal(f->st.reg[VM_REG_GUEST_CS], 8);
}

static void
test_xrstor(void **state)
{
	struct fixture *f = *state;

	put64(f, DATA + 512, 3); /* XSTATE_BV */
	put64(f, DATA + 24, 0x1f80);
	put64(f, DATA, 0x37f);
	put64(f, DATA + 160, 0x1234); /* XMM0 */
	f->st.reg[VM_REG_GUEST_RAX] = 3;
	f->st.reg[VM_REG_GUEST_RSI] = DATA;
	assert_int_equal(STEP(f, 0x0f, 0xae, 0x2e), STEP_DONE);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], CODE + 3);
	assert_int_equal(get_le64(f->st.xsave + 160), 0x1234);
	assert_int_equal(get_le64(f->st.xsave + 512) & 3, 3);
}

/* XMM registers go in as well; those that are not named stay. */
static void
test_vectors(void **state)
{
	struct fixture *f = *state;

	put_le64(f->st.xsave + 160, 40);
	put_le64(f->st.xsave + 176, 2);
	assert_int_equal(STEP(f, 0x66, 0x0f, 0xd4, 0xc1), STEP_DONE);
	assert_int_equal(get_le64(f->st.xsave + 160), 42);
	assert_int_equal(get_le64(f->st.xsave + 176), 2);
}

/* Old bytes at the same place are not remembered. */
static void
test_fresh(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(STEP(f, 0xff, 0xc0), STEP_DONE); /* inc eax */
	f->st.reg[VM_REG_GUEST_RIP] = CODE;
	assert_int_equal(STEP(f, 0xff, 0xc8), STEP_DONE); /* dec eax */
	assert_int_equal(f->st.reg[VM_REG_GUEST_RAX], 0);
	/* The page tables neither. */
	put64(f, PDPT, 0);
	f->st.reg[VM_REG_GUEST_RIP] = CODE;
	assert_int_equal(STEP(f, 0xff, 0xc0), STEP_SHUTDOWN);
}

static void
test_page_fault(void **state)
{
	struct fixture *f = *state;

	f->st.reg[VM_REG_GUEST_RSI] = 0x40001000;
	assert_int_equal(STEP(f, 0x8b, 0x06), STEP_DONE); /* mov eax, [rsi] */
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], HANDLER + 16 * 14);
	assert_int_equal(f->st.reg[VM_REG_GUEST_CR2], 0x40001000);
	assert_int_equal(get64(f, f->st.reg[VM_REG_GUEST_RSP] + 8), CODE);
}

static void
test_swapgs(void **state)
{
	struct fixture *f = *state;

	f->st.msr[4] = 0xffff800000001000; /* KERNEL_GS_BASE */
	f->st.desc[VM_REG_GUEST_GS].base = 0x2000;
	assert_int_equal(STEP(f, 0x0f, 0x01, 0xf8), STEP_DONE);
	assert_int_equal(f->st.desc[VM_REG_GUEST_GS].base, 0xffff800000001000);
	assert_int_equal(f->st.msr[4], 0x2000);
}

static void
test_halt_and_shadow(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(STEP(f, 0xfb), STEP_DONE); /* sti */
	assert_int_equal(f->st.reg[VM_REG_GUEST_INTR_SHADOW], 1);
	assert_int_equal(STEP(f, 0xf4), STEP_HALT);
	assert_int_equal(f->st.reg[VM_REG_GUEST_INTR_SHADOW], 0);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], CODE + 2);
}

static void
test_trap_flag(void **state)
{
	struct fixture *f = *state;

	f->st.reg[VM_REG_GUEST_RFLAGS] |= 0x100;
	assert_int_equal(STEP(f, 0x90), STEP_DONE);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], HANDLER + 16);
	assert_int_equal(f->st.reg[VM_REG_GUEST_DR6] & 0x4000, 0x4000);
}

static int
on_mmio(struct vcpu *vcpu, bool write, uint64_t gpa, unsigned int bytes,
    uint64_t *val, void *arg)
{
	struct fixture *f = arg;

	if (write)
		f->port_value = *val;
	else
		*val = 0x55;
	return 0;
}

static void
test_mmio(void **state)
{
	struct fixture *f = *state;
	const struct mmio_range r = { .name = "mmio",
		.base = MMIO,
		.len = 0x1000,
		.fn = on_mmio,
		.arg = f };

	assert_int_equal(bus_mmio_register(f->ctx, &r), 0);
	f->st.reg[VM_REG_GUEST_RSI] = MMIO;
	assert_int_equal(
	    STEP(f, 0x83, 0x06, 0x01), STEP_DONE); /* add [rsi], 1 */
	assert_int_equal(f->port_value, 0x56);
}

static void
test_unknown_msr(void **state)
{
	struct fixture *f = *state;
	static const uint8_t rdmsr[] = { 0x0f, 0x32 };
	struct vm_exit x = { 0 };

	f->st.reg[VM_REG_GUEST_RCX] = 0xdeadbeef;
	assert_int_equal(vm_mem_write(f->ctx, CODE, rdmsr, 2), 0);
	assert_int_equal(step_run(f->cpu, &f->st, false, &x), STEP_EXIT);
	assert_int_equal(x.exitcode, VM_EXITCODE_RDMSR);
	assert_int_equal(x.u.msr.code, 0xdeadbeef);
	assert_int_equal(x.rip, CODE);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], CODE + 2);
}

/* A guest with five levels of page tables, or AVX-512 state. */
static void
test_refused(void **state)
{
	struct fixture *f = *state;

	f->st.reg[VM_REG_GUEST_CR4] |= 0x1000;
	assert_int_equal(STEP(f, 0x90), STEP_REFUSED);
	f->st.reg[VM_REG_GUEST_CR4] &= ~0x1000ull;
	f->st.xcr0 = 0xe7;
	assert_int_equal(STEP(f, 0x90), STEP_REFUSED);
	assert_int_equal(f->st.reg[VM_REG_GUEST_RIP], CODE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		T(test_cmpxchg16b),
		T(test_ldmxcsr),
		T(test_int3),
		T(test_xrstor),
		T(test_vectors),
		T(test_fresh),
		T(test_page_fault),
		T(test_swapgs),
		T(test_halt_and_shadow),
		T(test_trap_flag),
		T(test_mmio),
		T(test_unknown_msr),
		T(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
