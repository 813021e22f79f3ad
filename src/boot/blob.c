/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blob.c - the bytes of a kernel or initrd, wherever they come from.
 *
 * A regular file is read where and when it is needed, straight to where the
 * bytes go; pipes and the like are read to memory first.  Nothing is mapped:
 * a file that shrinks while it is read is an error here, not a SIGBUS.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOB_CHUNK (1u << 20)

/* Read until end of file; -EFBIG after `max` bytes. */
static int
blob_slurp(int fd, uint64_t max, uint8_t **ret_buf, uint64_t *ret_len)
{
	uint8_t *buf = NULL, *bigger;
	uint64_t cap = 0, len = 0;
	ssize_t n;

	for (;;) {
		if (len == cap) {
			cap = cap == 0 ? BLOB_CHUNK : cap * 2;
			bigger = realloc(buf, cap);
			if (bigger == NULL)
				break;
			buf = bigger;
		}
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (n == 0) {
			*ret_buf = buf;
			*ret_len = len;
			return 0;
		}
		len += (uint64_t)n;
		if (len > max) {
			errno = EFBIG;
			break;
		}
	}
	n = -errno;
	free(buf);
	return (int)n;
}

static int
blob_attach(struct boot_blob *b, uint64_t max)
{
	struct stat st;
	uint8_t *buf = NULL;
	int rc;

	if (fstat(b->fd, &st) != 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode)) {
		b->size = (uint64_t)st.st_size;
		return 0;
	}
	rc = blob_slurp(b->fd, max, &buf, &b->size);
	if (rc != 0)
		return rc;
	b->data = b->owned = buf;
	return 0;
}

int
boot_blob_open(struct boot_blob *b, const char *path, uint64_t max, char *err,
    size_t err_len)
{
	int rc;

	*b = (struct boot_blob){ .path = path };
	b->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (b->fd < 0)
		return boot_verr(
		    err, err_len, -errno, "%s: %s", path, strerror(errno));
	rc = blob_attach(b, max);
	if (rc == -EFBIG)
		boot_verr(err, err_len, rc,
		    "%s: larger than the guest's low memory", path);
	else if (rc != 0)
		boot_verr(err, err_len, rc, "%s: %s", path, strerror(-rc));
	if (rc != 0)
		boot_blob_close(b);
	return rc;
}

void
boot_blob_close(struct boot_blob *b)
{
	if (b->path != NULL && b->fd >= 0)
		close(b->fd);
	free(b->owned);
	*b = (struct boot_blob){ .fd = -1 };
}

int
boot_blob_read(const struct boot_blob *b, uint64_t off, void *dst, uint64_t len)
{
	uint8_t *p = dst;
	ssize_t n;

	if (!range_ok(off, len, b->size))
		return -EINVAL;
	if (b->data != NULL) {
		if (len != 0)
			memcpy(p, b->data + off, len);
		return 0;
	}
	while (len > 0) {
		n = pread(b->fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* it shrank */
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

size_t
boot_blob_head(const struct boot_blob *b, void *dst, size_t len)
{
	len = (size_t)MIN((uint64_t)len, b->size);
	return boot_blob_read(b, 0, dst, len) == 0 ? len : 0;
}
