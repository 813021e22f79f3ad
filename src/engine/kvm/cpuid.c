/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpuid.c - the processor a guest sees: what KVM supports on this host, less
 * what bhyve hides (docs/bhyve.md 1.11), with the machine's topology.
 *
 * Intel SDM 2A CPUID, AMD APM 3 appendix E.  Hypervisor leaves: bhyve's at
 * 0x40000000, with the frequencies where FreeBSD looks for them, KVM's at
 * 0x40000100; Linux searches in steps of 0x100 and takes what it knows.
 */
#include "kvm_priv.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>

#include <vmm/topology.h>

#define F(n)		       (1u << (n))

#define ENTRIES_MAX	       256u
#define LEAF_BHYVE	       0x40000000u
#define LEAF_BHYVE_MAX	       0x40000010u
#define LEAF_KVM	       0x40000100u
#define KVM_HINTS_REALTIME_BIT 1u	/* the vCPUs have CPUs of their own */
#define APIC_BUS_KHZ	       1000000u /* KVM's APIC timer counts nanoseconds */

enum reg { EAX, EBX, ECX, EDX };

static uint32_t *
reg_of(struct kvm_cpuid_entry2 *e, enum reg reg)
{
	uint32_t *p[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

	return p[reg];
}

/* --- what is hidden, what is shown --------------------------------------- */

/* keep: the bits that may pass; set: bits that are always there. */
static const struct {
	uint32_t leaf, index;
	enum reg reg;
	uint32_t keep, set;
} mask_table[] = {
	/* Not DTES64 MONITOR DS-CPL VMX SMX EST TM2 PDCM; but HYPERVISOR. */
	{ 1, 0, ECX, ~(F(2) | F(3) | F(4) | F(5) | F(6) | F(7) | F(8) | F(15)),
	    F(31) },
	/* Not DS ACPI HTT TM; HTT comes back with the topology. */
	{ 1, 0, EDX, ~(F(21) | F(22) | F(28) | F(29)), 0 },
	/* ARAT: the APIC's timer never stops. */
	{ 6, 0, EAX, 0, F(2) }, { 6, 0, EBX, 0, 0 }, { 6, 0, ECX, 0, 0 },
	/* Not CMP_LEGACY SVM ExtApic OSVW IBS SKINIT WDT NodeId PerfCtr. */
	{ 0x80000001, 0, ECX,
	    ~(F(1) | F(2) | F(3) | F(9) | F(10) | F(12) | F(13) | F(19) |
		F(23) | F(24) | F(28)),
	    0 },
	{ 0x80000007, 0, EDX, F(8), 0 }, /* invariant TSC, where there is */
};

/* Leaves of what is not virtualized: PMU, SGX, PT, SVM, IBS, SEV. */
static const uint32_t zero_table[] = { 0xa, 0xf, 0x10, 0x12, 0x14, 0x8000000a,
	0x8000001b, 0x8000001c, 0x8000001f, 0x80000020, 0x80000022 };

/*
 * What the software CPU does not know, where it must help (step.c): register
 * states beyond x87, SSE and AVX, five levels of page tables.
 */
static const struct {
	uint32_t leaf, index;
	enum reg reg;
	uint32_t keep;
} step_table[] = {
	/* MPX, AVX512 F DQ IFMA PF ER CD BW VL */
	{ 7, 0, EBX,
	    ~(F(14) | F(16) | F(17) | F(21) | F(26) | F(27) | F(28) | F(30) |
		F(31)) },
	/* AVX512 VBMI, PKU, VBMI2, CET_SS, AVX512 VNNI BITALG VPOPCNT, LA57 */
	{ 7, 0, ECX,
	    ~(F(1) | F(3) | F(6) | F(7) | F(11) | F(12) | F(14) | F(16)) },
	/* AVX512 4VNNIW 4FMAPS VP2INTERSECT, CET_IBT, AMX, AVX512 FP16 */
	{ 7, 0, EDX,
	    ~(F(2) | F(3) | F(8) | F(20) | F(22) | F(23) | F(24) | F(25)) },
	{ 7, 1, EAX, ~F(5) }, /* AVX512 BF16 */
	{ 0xd, 0, EAX, 7 },
	{ 0xd, 0, EDX, 0 },
	{ 0xd, 1, EAX, ~(F(3) | F(4)) }, /* XSAVES XFD */
	{ 0xd, 1, ECX, 0 },
};

static void
apply_step_masks(struct kvm_cpuid_entry2 *e)
{
	for (size_t i = 0; i < ARRAY_LEN(step_table); i++)
		if (step_table[i].leaf == e->function &&
		    step_table[i].index == e->index)
			*reg_of(e, step_table[i].reg) &= step_table[i].keep;
	if (e->function == 0xd && e->index > 2)
		e->eax = e->ebx = e->ecx = e->edx = 0;
}

static void
apply_masks(struct kvm_cpuid_entry2 *e)
{
	for (size_t i = 0; i < ARRAY_LEN(mask_table); i++)
		if (mask_table[i].leaf == e->function &&
		    mask_table[i].index == e->index) {
			uint32_t *r = reg_of(e, mask_table[i].reg);

			*r = (*r & mask_table[i].keep) | mask_table[i].set;
		}
	for (size_t i = 0; i < ARRAY_LEN(zero_table); i++)
		if (zero_table[i] == e->function)
			e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* --- topology ------------------------------------------------------------- */

struct cpu_place {
	const struct vm_topology *topo;
	uint32_t cpu, id;  /* the vCPU's number and APIC id */
	uint32_t siblings; /* of a package */
	uint32_t thread_bits, package_bits;
	bool amd;
};

static struct cpu_place
place_of(const struct kvm_cpu *k)
{
	const struct vm_topology *t = vm_topology_get(k->vm->ctx);

	return (struct cpu_place){
		.topo = t,
		.cpu = (uint32_t)vcpu_id(k->vcpu),
		.id = vcpu_apic_id(k->vcpu),
		.siblings = vm_topology_siblings(t),
		.thread_bits = vm_topology_thread_bits(t),
		.package_bits = vm_topology_package_bits(t),
		.amd = vm_cpu_vendor(k->vm->ctx) == VM_CPU_AMD,
	};
}

static void
leaf_1(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	e->ebx = (e->ebx & 0xff00) | (p->id & 0xff) << 24 |
		 (p->siblings & 0xff) << 16;
	if (p->siblings > 1)
		e->edx |= F(28);
}

/* APIC ids that share a cache, gaps included: kernels divide by their number.
 */
static uint32_t
cache_ids(const struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	return F((e->eax >> 5 & 7) >= 3 ? p->package_bits : p->thread_bits);
}

/* Intel's caches: who shares them, ids of cores in the package. */
static void
leaf_4(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	uint32_t cores = F(p->package_bits - p->thread_bits);

	if ((e->eax & 0x1f) == 0)
		return;
	e->eax =
	    (e->eax & 0x3fff) | (cache_ids(e, p) - 1) << 14 | (cores - 1) << 26;
}

static void
set_regs(struct kvm_cpuid_entry2 *e, const uint32_t regs[4])
{
	for (unsigned int r = EAX; r <= EDX; r++)
		*reg_of(e, (enum reg)r) = regs[r];
}

static void
leaf_b(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	uint32_t regs[4];

	vm_topology_level(p->topo, p->cpu, e->index, regs);
	set_regs(e, regs);
}

static void
leaf_ext_1(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	if (p->siblings > 1 && p->amd)
		e->ecx |= F(1); /* CMP_LEGACY */
}

static void
leaf_ext_8(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	e->ecx = (p->siblings - 1) | p->package_bits << 12;
}

static void
leaf_ext_1d(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	if ((e->eax & 0x1f) != 0)
		e->eax = (e->eax & 0x3fff) | (cache_ids(e, p) - 1) << 14;
}

static void
leaf_ext_1e(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	uint32_t regs[4];

	vm_topology_amd(p->topo, p->cpu, regs);
	set_regs(e, regs);
}

static const struct {
	uint32_t leaf;
	void (*fn)(struct kvm_cpuid_entry2 *, const struct cpu_place *);
} place_table[] = {
	{ 1, leaf_1 },
	{ 4, leaf_4 },
	{ 0xb, leaf_b },
	{ 0x1f, leaf_b },
	{ 0x80000001, leaf_ext_1 },
	{ 0x80000008, leaf_ext_8 },
	{ 0x8000001d, leaf_ext_1d },
	{ 0x8000001e, leaf_ext_1e },
};

static void
apply_place(struct kvm_cpuid_entry2 *e, const struct cpu_place *p)
{
	for (size_t i = 0; i < ARRAY_LEN(place_table); i++)
		if (place_table[i].leaf == e->function)
			place_table[i].fn(e, p);
}

/* --- the list ------------------------------------------------------------- */

static struct kvm_cpuid2 *
list_alloc(void)
{
	struct kvm_cpuid2 *list = calloc(
	    1, sizeof(*list) + ENTRIES_MAX * sizeof(struct kvm_cpuid_entry2));

	if (list != NULL)
		list->nent = ENTRIES_MAX;
	return list;
}

static bool
is_hypervisor(uint32_t leaf)
{
	return leaf >= LEAF_BHYVE && leaf <= LEAF_BHYVE + 0xffff;
}

/* Levels that the list has not, because the host's are others. */
static bool
is_level(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x1f;
}

static int
add(struct kvm_cpuid2 *list, struct kvm_cpuid_entry2 e)
{
	if (list->nent >= ENTRIES_MAX)
		return -E2BIG;
	list->entries[list->nent++] = e;
	return 0;
}

static int
add_levels(struct kvm_cpuid2 *list, uint32_t leaf)
{
	int err = 0;

	for (uint32_t level = 0; level < 3 && err == 0; level++)
		err = add(list, (struct kvm_cpuid_entry2){ .function = leaf,
				    .index = level,
				    .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX });
	return err;
}

static int
add_hypervisor(
    struct kvm_cpuid2 *list, const struct kvm_machine *vm, uint32_t features)
{
	const struct kvm_cpuid_entry2 leaf_table[] = {
		/* "bhyve bhyve " */
		{ .function = LEAF_BHYVE,
		    .eax = LEAF_BHYVE_MAX,
		    .ebx = 0x76796862,
		    .ecx = 0x68622065,
		    .edx = 0x20657679 },
		{ .function = LEAF_BHYVE_MAX,
		    .eax = vm->tsc_khz,
		    .ebx = APIC_BUS_KHZ },
		/* "KVMKVMKVM" */
		{ .function = LEAF_KVM,
		    .eax = LEAF_KVM + 1,
		    .ebx = 0x4b4d564b,
		    .ecx = 0x564b4d56,
		    .edx = 0x4d },
		{ .function = LEAF_KVM + 1,
		    .eax = features,
		    .edx = vm->hlt_in_guest ? KVM_HINTS_REALTIME_BIT : 0 },
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(leaf_table) && err == 0; i++)
		err = add(list, leaf_table[i]);
	return err;
}

/* Copies what passes; *ret_features: KVM's own leaf. */
static int
filter(struct kvm_cpuid2 *out, const struct kvm_cpuid2 *in,
    const struct kvm_machine *vm, uint32_t *ret_features)
{
	uint32_t max = in->nent > 0 ? in->entries[0].eax : 0;
	int err = 0;

	for (uint32_t i = 0; i < in->nent && err == 0; i++) {
		struct kvm_cpuid_entry2 e = in->entries[i];

		if (e.function == LEAF_BHYVE + 1)
			*ret_features = e.eax;
		if (is_hypervisor(e.function) || is_level(e.function))
			continue;
		apply_masks(&e);
		if (!vm->has.hardware)
			apply_step_masks(&e);
		if (e.function == 1 && vm->has.tsc_deadline)
			e.ecx |= F(24);
		if (e.function == 1)
			e.ecx |= F(21); /* x2APIC: the kernel's APIC has it */
		err = add(out, e);
	}
	if (err == 0 && max >= 0xb)
		err = add_levels(out, 0xb);
	if (err == 0 && max >= 0x1f)
		err = add_levels(out, 0x1f);
	return err;
}

/* Once a machine: the first vCPU asks. */
static int
find_supported(struct kvm_machine *vm)
{
	int err;

	if (vm->supported != NULL)
		return 0;
	vm->supported = list_alloc();
	if (vm->supported == NULL)
		return -ENOMEM;
	err = kvm_ioctl(vm->sys_fd, KVM_GET_SUPPORTED_CPUID, vm->supported);
	if (err < 0) {
		free(vm->supported);
		vm->supported = NULL;
	}
	return MIN(err, 0);
}

static int
fill(struct kvm_cpu *k, struct kvm_cpuid2 *out)
{
	struct cpu_place place = place_of(k);
	uint32_t features = 0;
	int err = find_supported(k->vm);

	out->nent = 0;
	if (err == 0)
		err = filter(out, k->vm->supported, k->vm, &features);
	if (err == 0)
		err = add_hypervisor(out, k->vm, features);
	for (uint32_t i = 0; i < out->nent; i++)
		apply_place(&out->entries[i], &place);
	return err;
}

int
kvm_cpuid_set(struct kvm_cpu *k)
{
	struct kvm_cpuid2 *list = list_alloc();
	int err = list == NULL ? -ENOMEM : fill(k, list);

	if (err >= 0)
		err = kvm_ioctl(k->fd, KVM_SET_CPUID2, list);
	free(list);
	return MIN(err, 0);
}

enum vm_cpu_vendor
kvm_cpuid_vendor(void)
{
	static const struct {
		uint32_t ebx; /* the name's first letters: Auth, Hygo, Genu */
		enum vm_cpu_vendor vendor;
	} vendor_table[] = {
		{ 0x68747541, VM_CPU_AMD },
		{ 0x6f677948, VM_CPU_AMD },
		{ 0x756e6547, VM_CPU_INTEL },
	};
	uint32_t max, ebx, ecx, edx;

	__cpuid(0, max, ebx, ecx, edx);
	for (size_t i = 0; i < ARRAY_LEN(vendor_table); i++)
		if (vendor_table[i].ebx == ebx)
			return vendor_table[i].vendor;
	return VM_CPU_OTHER;
}
