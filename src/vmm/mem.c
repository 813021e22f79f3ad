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
	(void)madvise(p, len, MADV_DONTDUMP);
	ram->base = p;
	ram->fd = fd;
	return 0;
fail:;
	int err = -errno;

	close(fd);
	return err;
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

int
vm_mem_write(struct vmctx *ctx, uint64_t gpa, const void *src, size_t len)
{
	uint8_t *dst = ram_at(&ctx->ram, gpa, len);

	if (len == 0)
		return 0;
	if (dst == NULL)
		return -EFAULT;
	memcpy(dst, src, len);
	ctx->engine->mem_written(ctx, gpa, len);
	return 0;
}

void
vm_mem_written(struct vmctx *ctx, uint64_t gpa, size_t len)
{
	if (ram_at(&ctx->ram, gpa, len) != NULL)
		ctx->engine->mem_written(ctx, gpa, len);
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
