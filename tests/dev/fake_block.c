/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks in memory whose requests end when the test says so (see fake_block.h).
 */
#include "fake_block.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* The handle is the disk. */
struct blockdev {
	struct fake_disk d;
};

static struct blockdev *fake_disks[FAKE_NDISKS];

struct fake_disk *
fake_disk_find(const char *name)
{
	for (unsigned int i = 0; i < FAKE_NDISKS; i++)
		if (fake_disks[i] != NULL &&
		    strcmp(fake_disks[i]->d.name, name) == 0)
			return &fake_disks[i]->d;
	return NULL;
}

/* Each sector of a period is another. */
#define FILL_PERIOD (512u * 256)

static void
fill(uint8_t *data, uint64_t bytes, uint8_t salt)
{
	uint64_t b;

	for (b = 0; b < MIN(bytes, (uint64_t)FILL_PERIOD); b++)
		data[b] = (uint8_t)(b * 7 + b / 512 + salt);
	/* The rest repeats; disks of many megabytes are filled for each test.
	 */
	for (; b < bytes; b += FILL_PERIOD)
		memcpy(data + b, data, MIN(bytes - b, (uint64_t)FILL_PERIOD));
}

struct fake_disk *
fake_disk(const char *name, uint64_t bytes, bool discard)
{
	struct blockdev *bd = xcalloc(1, sizeof(*bd));
	struct fake_disk *d = &bd->d;
	unsigned int i = 0;

	while (i < FAKE_NDISKS && fake_disks[i] != NULL)
		i++;
	assert(i < FAKE_NDISKS);
	fake_disks[i] = bd;
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->info = (struct block_info){
		.bytes = bytes,
		.lsec_bytes = 512,
		.psec_bytes = 4096,
		.can_discard = discard,
		.ident = "BHYVE-0123-4567-89AB",
	};
	d->data = xcalloc(1, bytes);
	fill(d->data, bytes, (uint8_t)name[0]);
	return d;
}

void
fake_disks_free(void)
{
	for (unsigned int i = 0; i < FAKE_NDISKS; i++) {
		if (fake_disks[i] == NULL)
			continue;
		assert(!fake_disks[i]->d.open);
		free(fake_disks[i]->d.data);
		free(fake_disks[i]);
		fake_disks[i] = NULL;
	}
}

/* --- moving data ---------------------------------------------------------- */

static void
fake_disk_copy(struct fake_disk *d, const struct block_req *r)
{
	uint64_t at = r->off;

	for (unsigned int i = 0; i < r->niov; i++) {
		const struct iovec *v = &r->iov[i];

		if (r->op == BLOCK_READ)
			memcpy(v->iov_base, d->data + at, v->iov_len);
		else
			memcpy(d->data + at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
	assert(at == r->off + r->len);
}

static int
fake_disk_do(struct fake_disk *d, const struct block_req *r)
{
	if (r->op == BLOCK_FLUSH) {
		d->flushes++;
		return 0;
	}
	if (!range_ok(r->off, r->len, d->info.bytes) || r->len == 0 ||
	    r->off % d->info.lsec_bytes != 0 ||
	    r->len % d->info.lsec_bytes != 0)
		return -EINVAL;
	if (r->op != BLOCK_READ && d->info.ro)
		return -EROFS;
	if (r->op == BLOCK_DISCARD) {
		d->discards++;
		d->discarded_off = r->off;
		d->discarded_len = r->len;
		memset(d->data + r->off, 0, r->len);
		return 0;
	}
	fake_disk_copy(d, r);
	return 0;
}

void
fake_disk_end(struct fake_disk *d, unsigned int i, int error)
{
	struct block_req *r = d->queue[i];

	assert(i < d->nqueue);
	if (error == 0 && !d->moved[i])
		error = fake_disk_do(d, r);
	d->nqueue--;
	memmove(&d->queue[i], &d->queue[i + 1],
	    (d->nqueue - i) * sizeof(d->queue[0]));
	memmove(&d->moved[i], &d->moved[i + 1],
	    (d->nqueue - i) * sizeof(d->moved[0]));
	r->done(r, error);
}

void
fake_disk_run(struct fake_disk *d)
{
	while (d->nqueue > 0)
		fake_disk_end(d, 0, 0);
}

/* --- backend/block.h ------------------------------------------------------ */

int
block_open(const struct block_opts *o, struct blockdev **ret, char *err,
    size_t err_len)
{
	struct fake_disk *d = fake_disk_find(o->path);

	if (d == NULL || d->open) {
		snprintf(err, err_len, "%s: no such disk, or in use", o->path);
		return d == NULL ? -ENOENT : -EBUSY;
	}
	d->open = true;
	d->info.ro |= o->ro;
	*ret = container_of(d, struct blockdev, d);
	return 0;
}

void
block_close(struct blockdev *bd)
{
	if (bd == NULL)
		return;
	fake_disk_run(&bd->d);
	bd->d.open = false;
}

const struct block_info *
block_info(const struct blockdev *bd)
{
	return &bd->d.info;
}

void
block_submit(struct blockdev *bd, struct block_req *r)
{
	struct fake_disk *d = &bd->d;

	assert(d->open && d->nqueue < ARRAY_LEN(d->queue));
	d->submitted++;
	d->last = r;
	d->moved[d->nqueue] = false;
	d->queue[d->nqueue++] = r;
}

bool
block_kick(struct blockdev *bd)
{
	return false;
}

void
block_drain(struct blockdev *bd)
{
	struct fake_disk *d = &bd->d;

	d->drains++;
	for (unsigned int i = 0; i < d->nqueue; i++) {
		if (!d->moved[i])
			(void)fake_disk_do(d, d->queue[i]);
		d->moved[i] = true;
	}
}
