/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_asm - a self-checking program of tests/cpu/asm as a Linux process and in
 *a virtual machine: exit status and dump must be the same.
 *
 *	run_asm [-E engine] program
 *
 * The machine has no chips: RAM, one vCPU in 64-bit mode, the program at its
 * addresses at CPL 3, and stub.S below it.  Everything is set through vmmapi.h,
 *so that any engine can be judged.  Status 0 the same, 1 not, 77 skipped.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmm/bus.h>
#include <vmm/engine.h>
#include <vmm/mem.h>
#include <vmm/vm.h>
#include <vmmapi.h>

#include "asm/stub.h"

#define PAGE	    0x1000ull
#define RAM_BYTES   (64ull << 20)
#define GDT_GPA	    0x5000
#define TSS_GPA	    0x5100
#define IDT_GPA	    0x6000
#define TABLES_GPA  0x100000ull
#define PROG_VA	    0x10000000ull
#define PROG_GPA    0x1000000ull
#define PROG_MAX    (40ull << 20)
#define STACK_VA    0x20000000ull
#define STACK_GPA   0x800000ull
#define STACK_BYTES (256ull << 10)
#define DUMP_MAX    (16u << 20)
#define STATUS_SKIP 77
#define STATUS_BAD  255 /* the machine did not come to the program's end */

#define PTE_P	    0x1ull
#define PTE_W	    0x2ull
#define PTE_U	    0x4ull
#define PTE_PS	    0x80ull
#define PTE_NX	    (1ull << 63)

#define CR0_LONG    0x80050033ull /* PG AM WP NE ET MP PE */
#define CR4_LONG    0x00000620ull /* OSXMMEXCPT OSFXSR PAE */
#define EFER_LONG   0xd01ull	  /* NXE LMA LME SCE */

#define SYS_WRITE   1
#define SYS_EXIT    60

extern const uint8_t stub_begin[], stub_start[], stub_end[];

struct result {
	int status;
	uint8_t *dump;
	size_t len;
};

struct guest {
	struct vmctx *ctx;
	struct vcpu *vcpu;
	uint64_t pml4, next_table;
	uint64_t entry;
	struct result *res;
};

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("run_asm: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

/* --- the program as a process
 * --------------------------------------------------- */

static void
read_dump(int fd, struct result *r)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		die("dump: %s", strerror(errno));
	r->len = (size_t)st.st_size;
	r->dump = malloc(r->len + 1);
	if (r->dump == NULL || pread(fd, r->dump, r->len, 0) != (ssize_t)r->len)
		die("dump: %s", strerror(errno));
}

static void
run_native(const char *path, struct result *r)
{
	int fd = memfd_create("dump", MFD_CLOEXEC), status;
	pid_t pid = fork();

	if (fd < 0 || pid < 0)
		die("%s", strerror(errno));
	if (pid == 0) {
		dup2(fd, STDOUT_FILENO);
		execl(path, path, (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("wait: %s", strerror(errno));
	r->status =
	    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	read_dump(fd, r);
	close(fd);
}

/* --- what the program asks of its system
 * ---------------------------------------- */

static uint64_t
reg(struct vcpu *vcpu, enum vm_reg_name name)
{
	uint64_t val = 0;

	if (vm_get_register(vcpu, name, &val) != 0)
		die("register %d: %s", name, strerror(errno));
	return val;
}

static void
set_reg(struct vcpu *vcpu, enum vm_reg_name name, uint64_t val)
{
	if (vm_set_register(vcpu, name, val) != 0)
		die("register %d: %s", name, strerror(errno));
}

static void
guest_read(struct guest *g, uint64_t va, uint8_t *dst, uint64_t len)
{
	while (len > 0) {
		uint64_t part = PAGE - va % PAGE, gpa;

		part = MIN(part, len);
		if (vm_gla2gpa_nofault(g->vcpu, va, &gpa) != 0 ||
		    vm_mem_read(g->ctx, gpa, dst, part) != 0)
			die("write() from %#lx", (unsigned long)va);
		va += part;
		dst += part;
		len -= part;
	}
}

static uint64_t
sys_write(struct guest *g, uint64_t fd, uint64_t va, uint64_t len)
{
	char text[256] = "";

	if (fd == STDERR_FILENO) {
		guest_read(g, va, (uint8_t *)text, MIN(len, 255u));
		fprintf(stderr, "in the machine: %s", text);
		return len;
	}
	if (len > DUMP_MAX - g->res->len)
		die("dump too long");
	guest_read(g, va, g->res->dump + g->res->len, len);
	g->res->len += len;
	return len;
}

static int
on_syscall(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct guest *g = arg;
	uint64_t ret = 0;

	switch (reg(vcpu, VM_REG_GUEST_RAX)) {
	case SYS_WRITE:
		ret = sys_write(g, reg(vcpu, VM_REG_GUEST_RDI),
		    reg(vcpu, VM_REG_GUEST_RSI), reg(vcpu, VM_REG_GUEST_RDX));
		break;
	case SYS_EXIT:
		g->res->status = (int)(reg(vcpu, VM_REG_GUEST_RDI) & 0xff);
		vm_suspend(g->ctx, VM_SUSPEND_POWEROFF);
		return 0;
	default: /* signals: stub.S stands for them */
		break;
	}
	set_reg(vcpu, VM_REG_GUEST_RAX, ret);
	return 0;
}

static int
on_trap(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct guest *g = arg;

	fprintf(stderr,
	    "in the machine: exception %lu, error %#lx, rip %#lx, cr2 %#lx\n",
	    reg(vcpu, VM_REG_GUEST_RAX), reg(vcpu, VM_REG_GUEST_RDI),
	    reg(vcpu, VM_REG_GUEST_RSI), reg(vcpu, VM_REG_GUEST_RDX));
	vm_suspend(g->ctx, VM_SUSPEND_POWEROFF);
	return 0;
}

/* --- making the machine
 * ----------------------------------------------------------- */

static void
put(struct guest *g, uint64_t gpa, const void *src, size_t len)
{
	if (vm_mem_write(g->ctx, gpa, src, len) != 0)
		die("no memory at %#lx", (unsigned long)gpa);
}

static void
put64(struct guest *g, uint64_t gpa, uint64_t val)
{
	put(g, gpa, &val, sizeof(val));
}

static uint64_t
next_level(struct guest *g, uint64_t slot)
{
	uint64_t e;

	if (vm_mem_read(g->ctx, slot, &e, sizeof(e)) != 0)
		die("page table");
	if (e & PTE_P)
		return e & ~0xfffull;
	e = g->next_table;
	g->next_table += PAGE;
	put64(g, slot, e | PTE_P | PTE_W | PTE_U);
	return e;
}

static void
map_page(struct guest *g, uint64_t va, uint64_t gpa, uint64_t flags)
{
	uint64_t t = g->pml4;

	for (unsigned int shift = 39; shift > 12; shift -= 9)
		t = next_level(g, t + (va >> shift & 511) * 8);
	put64(g, t + (va >> 12 & 511) * 8, gpa | PTE_P | flags);
}

static void
load_segment(
    struct guest *g, const uint8_t *file, size_t file_len, const Elf64_Phdr *ph)
{
	uint64_t off = ph->p_vaddr - PROG_VA;
	uint64_t flags = PTE_U | (ph->p_flags & PF_W ? PTE_W : 0) |
			 (ph->p_flags & PF_X ? 0 : PTE_NX);

	if (!range_ok(ph->p_offset, ph->p_filesz, file_len) ||
	    !range_ok(off, ph->p_memsz, PROG_MAX))
		die("bad segment");
	put(g, PROG_GPA + off, file + ph->p_offset, ph->p_filesz);
	for (uint64_t o = off & ~(PAGE - 1); o < off + ph->p_memsz; o += PAGE)
		map_page(g, PROG_VA + o, PROG_GPA + o, flags);
}

static void
load_program(struct guest *g, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const uint8_t *file;
	Elf64_Ehdr eh;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(eh))
		die("%s: %s", path, strerror(errno));
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	memcpy(&eh, file, sizeof(eh));
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD && ph.p_memsz != 0)
			load_segment(g, file, (size_t)st.st_size, &ph);
	}
	g->entry = eh.e_entry;
	munmap((void *)(uintptr_t)file, (size_t)st.st_size);
	close(fd);
}

static void
make_descriptors(struct guest *g)
{
	static const uint64_t gdt[] = {
		[STUB_KCODE / 8] = 0x00af9b000000ffff,
		[STUB_KDATA / 8] = 0x00cf93000000ffff,
		[STUB_UBASE / 8] = 0x00cffb000000ffff,
		[STUB_UDATA / 8] = 0x00cff3000000ffff,
		[STUB_UCODE / 8] = 0x00affb000000ffff,
		[STUB_TSS / 8] = 0x0000890000000067 | (uint64_t)TSS_GPA << 16,
		[STUB_TSS / 8 + 1] = 0,
	};
	static const uint16_t no_iomap = 104; /* past the limit */

	put(g, GDT_GPA, gdt, sizeof(gdt));
	put64(g, TSS_GPA + 4, STUB_STACK); /* RSP0 */
	put(g, TSS_GPA + 102, &no_iomap, sizeof(no_iomap));
	for (unsigned int v = 0; v < STUB_NVECTORS; v++) {
		uint64_t addr = STUB_GPA + v * STUB_VECTOR_LEN;
		uint64_t type =
		    v == 3 ? 0xee00ull : 0x8e00ull; /* INT3: DPL 3 */

		put64(g, IDT_GPA + v * 16,
		    (addr & 0xffff) | STUB_KCODE << 16 | type << 32);
		put64(g, IDT_GPA + v * 16 + 8, 0);
	}
}

static void
set_segments(struct vcpu *vcpu)
{
	static const struct {
		enum vm_reg_name reg;
		uint16_t sel;
		uint64_t base;
		uint32_t limit, access;
	} table[] = {
		{ VM_REG_GUEST_CS, STUB_KCODE, 0, UINT32_MAX, 0xa09b },
		{ VM_REG_GUEST_SS, STUB_KDATA, 0, UINT32_MAX, 0xc093 },
		{ VM_REG_GUEST_DS, STUB_KDATA, 0, UINT32_MAX, 0xc093 },
		{ VM_REG_GUEST_ES, STUB_KDATA, 0, UINT32_MAX, 0xc093 },
		{ VM_REG_GUEST_FS, 0, 0, 0, 0x10000 },
		{ VM_REG_GUEST_GS, 0, 0, 0, 0x10000 },
		{ VM_REG_GUEST_LDTR, 0, 0, 0, 0x10000 },
		{ VM_REG_GUEST_TR, STUB_TSS, TSS_GPA, 0x67, 0x8b },
	};
	bool ok = true;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		ok = ok &&
		     vm_set_register(vcpu, table[i].reg, table[i].sel) == 0 &&
		     vm_set_desc(vcpu, table[i].reg, table[i].base,
			 table[i].limit, table[i].access) == 0;
	ok = ok &&
	     vm_set_desc(vcpu, VM_REG_GUEST_GDTR, GDT_GPA, 0x3f, 0) == 0 &&
	     vm_set_desc(vcpu, VM_REG_GUEST_IDTR, IDT_GPA,
		 STUB_NVECTORS * 16 - 1, 0) == 0;
	if (!ok)
		die("segments: %s", strerror(errno));
}

static void
make_tables(struct guest *g)
{
	g->pml4 = TABLES_GPA;
	g->next_table = TABLES_GPA + PAGE;
	/* The stub's world, identity, not for the program. */
	for (uint64_t a = 0; a < 0x10000; a += PAGE)
		map_page(g, a, a, PTE_W);
	for (uint64_t o = 0; o < STACK_BYTES; o += PAGE)
		map_page(
		    g, STACK_VA + o, STACK_GPA + o, PTE_W | PTE_U | PTE_NX);
}

static void
set_state(struct guest *g)
{
	struct vcpu *vcpu = g->vcpu;

	set_reg(vcpu, VM_REG_GUEST_EFER, EFER_LONG);
	set_reg(vcpu, VM_REG_GUEST_CR4, CR4_LONG);
	set_reg(vcpu, VM_REG_GUEST_CR3, g->pml4);
	set_reg(vcpu, VM_REG_GUEST_CR0, CR0_LONG);
	set_segments(vcpu);
	set_reg(vcpu, VM_REG_GUEST_RFLAGS, 2);
	set_reg(vcpu, VM_REG_GUEST_RIP,
	    STUB_GPA + (uint64_t)(stub_start - stub_begin));
	set_reg(vcpu, VM_REG_GUEST_RSP, STUB_STACK);
	set_reg(vcpu, VM_REG_GUEST_RDI, g->entry);
	set_reg(vcpu, VM_REG_GUEST_RSI, STACK_VA + STACK_BYTES - 64);
}

/* Slow: it emulates, and may take SYSCALL in its own way (stub.S). */
static const struct vm_engine_ops *
find_engine(const char *name, bool *ret_slow)
{
	char why[256] = "";

	for (size_t k = 0; k < vm_engine_table_len; k++) {
		int err;

		if (strcmp(vm_engine_table[k]->name, name) != 0)
			continue;
		err = vm_engine_table[k]->probe(why, sizeof(why));
		*ret_slow = err == VM_ENGINE_SLOW;
		if (err >= 0)
			return vm_engine_table[k];
		printf("skipped: engine %s: %s\n", name, why);
		exit(STATUS_SKIP);
	}
	printf("skipped: no engine %s\n", name);
	exit(STATUS_SKIP);
}

static void
run_guest(const char *path, const char *engine, struct result *r)
{
	struct guest g = { .res = r };
	const struct pio_range ports[] = {
		{ .name = "syscall",
		    .port = STUB_PORT_SYSCALL,
		    .len = 1,
		    .fn = on_syscall,
		    .arg = &g },
		{ .name = "trap",
		    .port = STUB_PORT_TRAP,
		    .len = 1,
		    .fn = on_trap,
		    .arg = &g },
		{ .name = "late syscall",
		    .port = STUB_PORT_LATE,
		    .len = 1,
		    .fn = on_syscall,
		    .arg = &g },
	};
	struct vm_run_opts opts = VM_RUN_OPTS_DEFAULT;
	enum vm_suspend_how how;
	bool slow;

	r->dump = malloc(DUMP_MAX);
	r->status = STATUS_BAD;
	if (r->dump == NULL ||
	    vm_new("run_asm", find_engine(engine, &slow), &g.ctx) != 0 ||
	    vm_setup_memory(g.ctx, RAM_BYTES, VM_MMAP_ALL) != 0 ||
	    (g.vcpu = vm_vcpu_open(g.ctx, 0)) == NULL ||
	    bus_pio_register(g.ctx, &ports[0]) != 0 ||
	    bus_pio_register(g.ctx, &ports[1]) != 0 ||
	    (slow && bus_pio_register(g.ctx, &ports[2]) != 0))
		die("cannot make the machine");
	make_tables(&g);
	make_descriptors(&g);
	put(&g, STUB_GPA, stub_begin, (size_t)(stub_end - stub_begin));
	load_program(&g, path);
	set_state(&g);
	if (vm_run_all(g.ctx, &opts, &how) != 0)
		die("cannot run");
	if (how != VM_SUSPEND_POWEROFF)
		fprintf(stderr, "the machine ended by %d, rip %#lx\n", how,
		    reg(g.vcpu, VM_REG_GUEST_RIP));
	vm_close(g.ctx);
}

/* --- comparing
 * ---------------------------------------------------------------------- */

static size_t
first_difference(const struct result *a, const struct result *b)
{
	size_t n = MIN(a->len, b->len), k;

	for (k = 0; k < n && a->dump[k] == b->dump[k]; k++)
		continue;
	return k;
}

static void
show(const char *who, const struct result *r, size_t at)
{
	printf("  %s:", who);
	for (size_t k = 0; k < 5; k++) {
		uint64_t v = 0;

		if (range_ok(at + 8 * k, 8, r->len))
			memcpy(&v, r->dump + at + 8 * k, 8);
		printf(" %016lx", v);
	}
	printf("\n");
}

static bool
same(const struct result *native, const struct result *guest)
{
	size_t at = first_difference(native, guest);
	bool ok = true;

	if (native->status != guest->status) {
		printf("status %d natively, %d in the machine\n",
		    native->status, guest->status);
		ok = false;
	}
	if (native->len != guest->len) {
		printf("%zu bytes dumped natively, %zu in the machine\n",
		    native->len, guest->len);
		ok = false;
	}
	if (at < MIN(native->len, guest->len)) {
		printf("dumps differ from word %zu on:\n", at / 8);
		at = at / 8 >= 2 ? at / 8 * 8 - 16 : 0;
		show("native ", native, at);
		show("machine", guest, at);
		ok = false;
	}
	return ok;
}

int
main(int argc, char **argv)
{
	struct result native = { 0 }, guest = { 0 };
	const char *engine = "soft";
	bool ok;
	int opt;

	while ((opt = getopt(argc, argv, "E:")) != -1) {
		if (opt != 'E')
			die("usage: run_asm [-E engine] program");
		engine = optarg;
	}
	if (optind + 1 != argc)
		die("usage: run_asm [-E engine] program");
	run_native(argv[optind], &native);
	run_guest(argv[optind], engine, &guest);
	ok = same(&native, &guest);
	if (ok && native.status != STATUS_SKIP && native.status != 0) {
		printf("fails with status %d in both worlds\n", native.status);
		ok = false;
	}
	if (ok)
		printf("status %d and %zu bytes, the same\n", guest.status,
		    guest.len);
	free(native.dump);
	free(guest.dump);
	return !ok ? 1 : guest.status;
}
