/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where CPUID says that each processor is: package, core and thread, by every
 * way that kernels find out (Intel SDM 3A 8.9, AMD APM 3 E.3 and E.4), and who
 * shares a cache.  The machine numbers its processors threads first.
 */
#include "guest.h"

#define F(n) (1u << (n))

static uint32_t cores, threads, packages;

struct place {
	uint32_t package, core, thread;
};

/* What one processor read; compared on processor 0, where a test can fail. */
static struct seen {
	uint32_t leaf1_id, leaf1_count, x2apic_id;
	bool htt, cmp_legacy;
	struct cpuid level[3], level_1f[2], caches[8];
	struct cpuid ext_8, ext_1e;
} seen[GUEST_MAXCPU];

static bool
has_leaf(uint32_t leaf)
{
	return cpuid(leaf & 0x80000000, 0).eax >= leaf;
}

static bool
has_topoext(void)
{
	return has_leaf(0x8000001e) && (cpuid(0x80000001, 0).ecx & F(22));
}

/* AMD describes its caches in another leaf, in the same form. */
static uint32_t
cache_leaf(void)
{
	return is_amd() ? has_topoext() ? 0x8000001d : 0 : 4;
}

static void
look(void *arg)
{
	struct seen *s = &seen[this_cpu()->id];
	struct cpuid r = cpuid(1, 0);

	s->leaf1_id = r.ebx >> 24;
	s->leaf1_count = r.ebx >> 16 & 0xff;
	s->htt = r.edx >> 28 & 1;
	s->cmp_legacy = cpuid(0x80000001, 0).ecx >> 1 & 1;
	for (uint32_t n = 0; n < 3; n++)
		s->level[n] = cpuid(0xb, n);
	for (uint32_t n = 0; n < 2; n++)
		s->level_1f[n] = cpuid(0x1f, n);
	for (uint32_t n = 0; n < ARRAY_LEN(s->caches) && cache_leaf(); n++)
		s->caches[n] = cpuid(cache_leaf(), n);
	s->ext_8 = cpuid(0x80000008, 0);
	s->ext_1e = cpuid(0x8000001e, 0);
}

static struct place
place_of(unsigned int id)
{
	return (struct place){ id / threads / cores, id / threads % cores,
		id % threads };
}

static void
set_up(void)
{
	cores = guest_param(GUEST_PARAM_CORES);
	threads = guest_param(GUEST_PARAM_THREADS);
	packages = smp_count() / cores / threads;
	smp_run_all(look, NULL);
}

/* All ids are different, and the APIC itself agrees. */
static void
test_ids(void)
{
	set_up();
	for (unsigned int i = 0; i < smp_count(); i++) {
		CHECK_EQ(seen[i].leaf1_id, smp_apic_id(i));
		for (unsigned int k = 0; k < i; k++)
			CHECK(seen[k].leaf1_id != seen[i].leaf1_id);
	}
	CHECK_EQ(apic_read(APIC_ID) >> 24, 0);
}

static void
check_levels(const struct cpuid *level, struct place p)
{
	uint32_t id = level[0].edx;
	uint32_t to_core = level[0].eax & 31, to_package = level[1].eax & 31;

	CHECK_EQ(level[0].ecx, 0x100); /* level 0: threads */
	CHECK_EQ(level[1].ecx, 0x201); /* level 1: cores */
	CHECK_EQ(level[1].edx, id);
	CHECK_EQ(level[0].ebx & 0xffff, threads);
	CHECK_EQ(level[1].ebx & 0xffff, threads * cores);
	CHECK_EQ(id & (F(to_core) - 1), p.thread);
	CHECK_EQ((id & (F(to_package) - 1)) >> to_core, p.core);
	CHECK_EQ(id >> to_package, p.package);
}

static void
test_levels(void)
{
	if (!has_leaf(0xb))
		guest_skip("no leaf 0xB");
	for (unsigned int i = 0; i < smp_count(); i++) {
		check_levels(seen[i].level, place_of(i));
		CHECK_EQ(seen[i].level[0].edx, seen[i].leaf1_id);
		CHECK_EQ(seen[i].level[2].ecx, 2); /* no more */
		CHECK_EQ(seen[i].level[2].ebx & 0xffff, 0);
		if (has_leaf(0x1f))
			check_levels(seen[i].level_1f, place_of(i));
	}
}

static unsigned int
bits_for(uint32_t count)
{
	unsigned int bits = 0;

	while (F(bits) < count)
		bits++;
	return bits;
}

/* The old way: counts of leaf 1 and, on AMD, of leaf 0x80000008. */
static void
test_legacy(void)
{
	for (unsigned int i = 0; i < smp_count(); i++) {
		const struct seen *s = &seen[i];
		uint32_t shift = bits_for(cores) + bits_for(threads);

		CHECK_EQ(s->htt, cores * threads > 1);
		if (s->htt)
			CHECK_RANGE(s->leaf1_count, cores * threads, F(shift));
		CHECK_EQ(s->leaf1_id >> shift, place_of(i).package);
		if (!is_amd())
			continue;
		CHECK_EQ(s->cmp_legacy, cores * threads > 1);
		CHECK_EQ((s->ext_8.ecx & 0xff) + 1, cores * threads);
		CHECK_EQ(s->ext_8.ecx >> 12 & 0xf, shift);
	}
}

static void
test_extended(void)
{
	if (!has_topoext())
		guest_skip("no leaf 0x8000001E");
	for (unsigned int i = 0; i < smp_count(); i++) {
		const struct cpuid *r = &seen[i].ext_1e;

		CHECK_EQ(r->eax, seen[i].leaf1_id);
		CHECK_EQ((r->ebx >> 8 & 0xff) + 1, threads);
		CHECK_EQ(r->ebx & 0xff, place_of(i).core);
		CHECK_EQ(r->ecx & 0xff, place_of(i).package);
		CHECK_EQ(r->ecx >> 8 & 7, 0); /* one node a package */
	}
}

/* As kernels find who shares: ids rounded up to a power of two. */
static bool
share(const struct cpuid *cache, uint32_t a, uint32_t b)
{
	unsigned int bits = bits_for((cache->eax >> 14 & 0xfff) + 1);

	return a >> bits == b >> bits;
}

static void
check_cache(unsigned int n, unsigned int a, unsigned int b)
{
	const struct cpuid *cache = &seen[a].caches[n];
	struct place pa = place_of(a), pb = place_of(b);
	bool package = pa.package == pb.package;
	bool core = package && pa.core == pb.core;
	uint32_t level = cache->eax >> 5 & 7;

	CHECK_EQ(share(cache, seen[a].leaf1_id, seen[b].leaf1_id),
	    level >= 3 ? package : core);
}

static void
test_caches(void)
{
	unsigned int n;

	if (cache_leaf() == 0)
		guest_skip("no leaf of caches");
	for (n = 0; n < ARRAY_LEN(seen[0].caches); n++) {
		if ((seen[0].caches[n].eax & 0x1f) == 0)
			break;
		for (unsigned int a = 0; a < smp_count(); a++)
			for (unsigned int b = 0; b < smp_count(); b++)
				check_cache(n, a, b);
		if (!is_amd())
			CHECK_EQ(bits_for((seen[0].caches[n].eax >> 26) + 1),
			    bits_for(cores));
	}
	CHECK(n > 0);
}

const struct guest_test guest_tests[] = {
	TEST("APIC ids", test_ids),
	TEST("levels of the x2APIC id", test_levels),
	TEST("counts", test_legacy),
	TEST("extended APIC id", test_extended),
	TEST("caches", test_caches),
	TEST_END,
};
