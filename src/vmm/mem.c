/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mem.c - guest RAM (docs/bhyve.md 1.5, 2.2): one memfd, one shared mapping.
 *
 * Set up once, by the thread that builds the machine; from then on constant, so
 * every reader goes without a lock.  Memory that a guest never touched costs
 * nothing.  Several NUMA domains and device memory are not modelled.
 */
#include "vm_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_PAGE 4096ull
#define RAM_MIN	   (1ull << 20)
#define RAM_MAX	   (1ull << 46) /* the widest guest-physical address we offer */

const struct vm_ram *
vm_ram(struct vmctx *ctx)
{
	return &ctx->ram;
}

static int
ram_map(const char *name, uint64_t len, struct vm_ram *ram)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)len) != 0)
		goto fail;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
	    fd, 0);
	if (p == MAP_FAILED)
		goto fail;
	/* Wishes: the machine works without each of them. */
	(void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
	(void)madvise(p, len, MADV_HUGEPAGE);
	ram->base = p;
	ram->fd = fd;
	return 0;
fail:;
	int err = -errno;

	close(fd);
	return err;
}

#define MEM_FLAGS (VM_MEM_F_INCORE | VM_MEM_F_WIRED)

static int
ram_advise(const struct vm_ram *ram, int flags)
{
	bool in_core = (flags & VM_MEM_F_INCORE) != 0;
	size_t len = ram->lowmem + ram->highmem;

	/* Only a wish, when it is to leave them out. */
	if (madvise(ram->base, len, in_core ? MADV_DODUMP : MADV_DONTDUMP) !=
		0 &&
	    in_core)
		return -errno;
	if ((flags & VM_MEM_F_WIRED) != 0 && mlock(ram->base, len) != 0)
		return -errno;
	if ((flags & VM_MEM_F_WIRED) == 0)
		(void)munlock(ram->base, len);
	return 0;
}

int
vm_set_memflags(struct vmctx *ctx, int flags)
{
	int err = (flags & ~MEM_FLAGS) != 0 ? -EINVAL : 0;

	if (err == 0 && ctx->ram.base != NULL) {
		err = ram_advise(&ctx->ram, flags);
		if (err != 0)
			(void)ram_advise(&ctx->ram, ctx->memflags);
	}
	if (err == 0)
		ctx->memflags = flags;
	return vm_api_result(err);
}

int
vm_get_memflags(struct vmctx *ctx)
{
	return ctx->memflags;
}

static int
ram_setup(struct vmctx *ctx, uint64_t len, enum vm_mmap_style style)
{
	uint64_t limit = ROUND_DOWN((uint64_t)ctx->lowmem_limit, GUEST_PAGE);
	struct vm_ram ram;
	int err;

	if (ctx->ram.base != NULL)
		return -EBUSY;
	if (style == VM_MMAP_SPARSE)
		return -ENOTSUP;
	if (len < RAM_MIN || len > RAM_MAX || limit < RAM_MIN)
		return -EINVAL;
	len = ROUND_UP(len, GUEST_PAGE);
	ram.lowmem = MIN(len, limit);
	ram.highmem = len - ram.lowmem;
	err = ram_map(ctx->name, len, &ram);
	if (err != 0)
		return err;
	ctx->ram = ram;
	ctx->ram_mappable = style == VM_MMAP_ALL;
	err = ram_advise(&ram, ctx->memflags);
	if (err == 0)
		err = ctx->engine->mem_setup(ctx);
	if (err != 0)
		vm_mem_fini(ctx);
	return err;
}

int
vm_setup_memory(struct vmctx *ctx, size_t len, enum vm_mmap_style style)
{
	return vm_api_result(ram_setup(ctx, len, style));
}

void
vm_mem_fini(struct vmctx *ctx)
{
	if (ctx->ram.base != NULL) {
		munmap(ctx->ram.base, ctx->ram.lowmem + ctx->ram.highmem);
		close(ctx->ram.fd);
	}
	free(ctx->dirty);
	ctx->dirty = NULL;
	ctx->ram = (struct vm_ram){ .fd = -1 };
}

/* Host address of [gpa, gpa + len), all of it in one part of RAM, or NULL. */
static uint8_t *
ram_at(const struct vm_ram *ram, uint64_t gpa, size_t len)
{
	if (len == 0)
		return NULL;
	if (range_ok(gpa, len, ram->lowmem))
		return ram->base + gpa;
	if (gpa >= GPA_HIGHMEM_BASE &&
	    range_ok(gpa - GPA_HIGHMEM_BASE, len, ram->highmem))
		return ram->base + ram->lowmem + (gpa - GPA_HIGHMEM_BASE);
	return NULL;
}

void *
vm_map_gpa(struct vmctx *ctx, vm_paddr_t gpa, size_t len)
{
	return ctx->ram_mappable ? ram_at(&ctx->ram, gpa, len) : NULL;
}

int
vm_mem_read(struct vmctx *ctx, uint64_t gpa, void *dst, size_t len)
{
	const uint8_t *src = ram_at(&ctx->ram, gpa, len);

	if (len == 0)
		return 0;
	if (src == NULL)
		return -EFAULT;
	memcpy(dst, src, len);
	return 0;
}

static void
ram_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	/* Pairs with the store in vm_dirty_start(). */
	if (__atomic_load_n(&ctx->dirty_on, __ATOMIC_SEQ_CST))
		vm_dirty_note(ctx, gpa, len);
	ctx->engine->mem_written(ctx, gpa, len);
}

int
vm_mem_write(struct vmctx *ctx, uint64_t gpa, const void *src, size_t len)
{
	uint8_t *dst = ram_at(&ctx->ram, gpa, len);

	if (len == 0)
		return 0;
	if (dst == NULL)
		return -EFAULT;
	memcpy(dst, src, len);
	ram_written(ctx, gpa, len);
	return 0;
}

void
vm_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	if (ram_at(&ctx->ram, gpa, len) != NULL)
		ram_written(ctx, gpa, len);
}

uint32_t
vm_get_lowmem_limit(struct vmctx *ctx)
{
	return ctx->lowmem_limit;
}

void
vm_set_lowmem_limit(struct vmctx *ctx, uint32_t limit)
{
	ctx->lowmem_limit = limit;
}

size_t
vm_get_lowmem_size(struct vmctx *ctx)
{
	return ctx->ram.lowmem;
}

size_t
vm_get_highmem_size(struct vmctx *ctx)
{
	return ctx->ram.highmem;
}

int
vm_get_memory_seg(
    struct vmctx *ctx, vm_paddr_t gpa, size_t *ret_len, int *ret_wired)
{
	if (vm_ram_offset(&ctx->ram, gpa) == UINT64_MAX)
		return vm_api_result(-EINVAL);
	*ret_len = gpa < GPA_HIGHMEM_BASE ? ctx->ram.lowmem : ctx->ram.highmem;
	*ret_wired = (ctx->memflags & VM_MEM_F_WIRED) != 0;
	return 0;
}

/* --- as page tables ------------------------------------------------------ */

/* SDM 3C table 29-7. */
#define EPT_RWX	      0x7ull
#define EPT_WRITEBACK (6ull << 3)
#define EPT_ACCESSED  BIT64(8)

/* Is there RAM in the 2^shift bytes around gpa? */
static bool
ram_near(const struct vm_ram *ram, uint64_t gpa, unsigned int shift)
{
	uint64_t base = gpa >> shift << shift;

	if (base < ram->lowmem)
		return true;
	return ram->highmem > 0 && ranges_overlap(base, 1ull << shift,
				       GPA_HIGHMEM_BASE, ram->highmem);
}

static uint64_t
ram_leaf(const struct vm_ram *ram, uint64_t gpa)
{
	uint64_t off = ROUND_DOWN(vm_ram_offset(ram, gpa), GUEST_PAGE);
	unsigned char resident = 0;

	(void)mincore(ram->base + off, GUEST_PAGE, &resident);
	return off | EPT_WRITEBACK | EPT_RWX |
	       ((resident & 1) != 0 ? EPT_ACCESSED : 0);
}

int
vm_get_gpa_pmap(struct vmctx *ctx, vm_paddr_t gpa,
    uint64_t ret_pte[VM_PMAP_LEVELS], int *ret_num)
{
	const struct vm_ram *ram = &ctx->ram;
	int n = 0;

	/* Levels map 512 GiB, 1 GiB, 2 MiB and 4 KiB an entry. */
	for (unsigned int shift = 39; shift >= 12; shift -= 9) {
		bool ok = ram_near(ram, gpa, shift);

		ret_pte[n] = ok ? EPT_RWX : 0;
		if (ok && shift == 12)
			ret_pte[n] = ram_leaf(ram, gpa);
		n++;
		if (!ok)
			break;
	}
	*ret_num = n;
	return 0;
}

/* --- sizes as text ------------------------------------------------------- */

static const char memsize_suffixes[] = "bkmgtpe"; /* powers of 1024 */

int
vm_parse_memsize(const char *text, size_t *ret_bytes)
{
	char digits[32];
	size_t len = strlen(text);
	const char *suffix;
	unsigned int shift;
	uint64_t v;

	if (parse_u64(text, 1, UINT64_MAX, &v) == 0) {
		if (v < RAM_MIN)
			v <<= 20;
		*ret_bytes = v;
		return 0;
	}
	if (len < 2 || len > sizeof(digits))
		return vm_api_result(-EINVAL);
	memcpy(digits, text, len - 1);
	digits[len - 1] = '\0';
	suffix = strchr(memsize_suffixes, text[len - 1] | 0x20);
	if (suffix == NULL || *suffix == '\0')
		return vm_api_result(-EINVAL);
	shift = 10 * (unsigned int)(suffix - memsize_suffixes);
	if (parse_u64(digits, 1, UINT64_MAX >> shift, &v) != 0)
		return vm_api_result(-EINVAL);
	*ret_bytes = v << shift;
	return 0;
}
