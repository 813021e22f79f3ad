/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a disk: what the file is, how large, in which sectors, and what the
 * host can do with it.  Behaviour: docs/bhyve.md 1.3 (virtio-blk, ahci-*).
 *
 * Nothing here changes the image: what it can do is asked for where it makes
 * no difference, or read from sysfs.
 */
#include "block_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <md5.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <util/log.h>

#define BLOCK_LSEC_MIN 512u
/* The largest buffer alignment any host asks for. */
#define BLOCK_ALIGN_MAX 4096u

static int __attribute__((format(printf, 4, 5)))
block_fail(int error, char *err, size_t err_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return error;
}

static bool
block_is_power(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* --- open ----------------------------------------------------------------- */

static int
block_open_errno(
    const struct blockdev *dev, int error, char *err, size_t err_len)
{
	const char *hint = "";

	if (error == -ENOENT)
		hint = "; create one with truncate -s 10G";
	else if (error == -EINVAL && dev->direct)
		hint = "; is it nocache, which this file system cannot do?";
	else if (error == -EBUSY)
		hint = "; is it mounted?";
	return block_fail(
	    error, err, err_len, "%s: %s%s", dev->path, strerror(-error), hint);
}

/* O_EXCL on a block device: not while the host has it mounted. */
static int
block_open_fd(struct blockdev *dev, bool ro)
{
	struct stat st;
	int flags = O_CLOEXEC, error = 0;

	flags |= dev->direct ? O_DIRECT : 0;
	flags |= dev->sync ? O_DSYNC : 0;
	if (stat(dev->path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -ENOTBLK;
	if (!ro) {
		dev->fd = open(dev->path,
		    flags | O_RDWR | (S_ISBLK(st.st_mode) ? O_EXCL : 0));
		if (dev->fd != -1)
			return 0;
		error = errno;
		if (error != EACCES && error != EROFS && error != EPERM)
			return -error;
	}
	dev->info.ro = true;
	dev->fd = open(dev->path, flags | O_RDONLY);
	if (dev->fd == -1)
		return -errno;
	if (!ro)
		log_warn("%s: cannot be written (%s), so it is read-only for "
			 "the guest; with \"ro\" it is so without this line",
		    dev->path, strerror(error));
	return 0;
}

/*
 * A block device that was refused: another machine has it, which the lock
 * tells, or the host itself.
 */
static int
block_open_busy(const struct blockdev *dev, char *err, size_t err_len)
{
	int fd = open(dev->path, O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd != -1) {
		error = block_lock_image(fd, false, dev->path, err, err_len);
		close(fd);
	}
	return error != 0 ? error : block_open_errno(dev, -EBUSY, err, err_len);
}

/* --- size and sectors ----------------------------------------------------- */

struct block_sectors {
	uint32_t lsec, psec; /* the host's */
};

static int
block_measure_device(
    struct blockdev *dev, struct block_sectors *host, char *err, size_t err_len)
{
	unsigned int psec;
	int lsec;

	if (ioctl(dev->fd, BLKGETSIZE64, &dev->info.bytes) != 0 ||
	    ioctl(dev->fd, BLKSSZGET, &lsec) != 0 ||
	    ioctl(dev->fd, BLKPBSZGET, &psec) != 0)
		return block_fail(-errno, err, err_len,
		    "%s: cannot tell its size: %s", dev->path, strerror(errno));
	host->lsec = (uint32_t)lsec;
	host->psec = psec;
	return 0;
}

static int
block_measure(
    struct blockdev *dev, struct block_sectors *host, char *err, size_t err_len)
{
	struct stat st;

	if (fstat(dev->fd, &st) != 0)
		return block_open_errno(dev, -errno, err, err_len);
	if (!S_ISREG(st.st_mode))
		return block_measure_device(dev, host, err, err_len);
	dev->is_file = true;
	dev->info.bytes = (uint64_t)st.st_size;
	host->lsec = BLOCK_LSEC_MIN;
	host->psec = (uint32_t)st.st_blksize;
	return 0;
}

static int
block_set_sectors(struct blockdev *dev, const struct block_opts *opts,
    const struct block_sectors *host, char *err, size_t err_len)
{
	struct block_info *info = &dev->info;

	info->lsec_bytes = opts->lsec_bytes ? opts->lsec_bytes : host->lsec;
	info->psec_bytes = opts->psec_bytes;
	if (info->psec_bytes == 0) {
		info->psec_bytes = host->psec;
		if (!block_is_power(host->psec) ||
		    host->psec < info->lsec_bytes)
			info->psec_bytes = info->lsec_bytes;
	}
	if (!block_is_power(info->lsec_bytes) ||
	    !block_is_power(info->psec_bytes) ||
	    info->lsec_bytes < BLOCK_LSEC_MIN ||
	    info->lsec_bytes > info->psec_bytes)
		return block_fail(-EINVAL, err, err_len,
		    "%s: no sectors of %u/%u bytes; right are powers of two, "
		    "512 or more, the physical not below the logical",
		    dev->path, info->lsec_bytes, info->psec_bytes);
	if (!dev->is_file && info->lsec_bytes < host->lsec)
		return block_fail(-EINVAL, err, err_len,
		    "%s: the device has sectors of %u bytes; smaller ones are "
		    "not possible",
		    dev->path, host->lsec);
	return 0;
}

static int
block_check_size(const struct blockdev *dev, char *err, size_t err_len)
{
	const struct block_info *info = &dev->info;
	uint64_t up = ROUND_UP(info->bytes, (uint64_t)info->lsec_bytes);

	if (info->bytes == 0)
		return block_fail(-EINVAL, err, err_len,
		    "%s: it is empty; give it a size with truncate -s 10G",
		    dev->path);
	if (up != info->bytes)
		return block_fail(-EINVAL, err, err_len,
		    "%s: %llu bytes are no whole number of %u-byte sectors; "
		    "truncate -s %llu makes them one",
		    dev->path, (unsigned long long)info->bytes,
		    info->lsec_bytes, (unsigned long long)up);
	return 0;
}

/* --- abilities ------------------------------------------------------------ */

/* Reads a sector into memory that is aligned to `align` and no better. */
static int
block_try_direct(const struct blockdev *dev, char *buf, size_t align)
{
	uint64_t lsec = dev->info.lsec_bytes;
	off_t off = dev->info.bytes >= 2 * lsec ? (off_t)lsec : 0;

	return pread(dev->fd, buf + align, lsec, off) != -1 ? 0 : -errno;
}

/* Which alignment O_DIRECT wants of buffers. */
static int
block_probe_direct(struct blockdev *dev, char *err, size_t err_len)
{
	size_t align = BLOCK_LSEC_MIN, len;
	int error;
	char *buf;

	dev->info.align = 1;
	if (!dev->direct)
		return 0;
	len = ROUND_UP(dev->info.lsec_bytes, BLOCK_ALIGN_MAX) +
	      2 * BLOCK_ALIGN_MAX;
	buf = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return block_open_errno(dev, -errno, err, err_len);
	while ((error = block_try_direct(dev, buf, align)) == -EINVAL &&
	       align < BLOCK_ALIGN_MAX)
		align *= 2;
	munmap(buf, len);
	dev->info.align = (uint32_t)align;
	if (error == -EINVAL)
		return block_fail(error, err, err_len,
		    "%s: nocache is not possible with sectors of %u bytes; "
		    "its host disk has larger ones (sectorsize=4096?)",
		    dev->path, dev->info.lsec_bytes);
	return error == 0 ? 0 : block_open_errno(dev, error, err, err_len);
}

/* A number from /sys/dev/block/M:N/queue; a partition's is its disk's. */
static uint64_t
block_queue_limit(const struct blockdev *dev, const char *name)
{
	static const char *const dirs[] = { "", "../" };
	unsigned long long v = 0;
	char path[128];
	struct stat st;
	FILE *f = NULL;

	if (fstat(dev->fd, &st) != 0)
		return 0;
	for (size_t i = 0; f == NULL && i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s",
		    major(st.st_rdev), minor(st.st_rdev), dirs[i], name);
		f = fopen(path, "re");
	}
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu", &v) != 1)
		v = 0;
	fclose(f);
	return v;
}

static void
block_probe_discard(struct blockdev *dev)
{
	struct block_info *info = &dev->info;

	if (info->ro)
		return;
	if (dev->is_file) {
		/* A hole after the end of the file is none. */
		info->can_zero = fallocate(dev->fd,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     (off_t)info->bytes, 4096) == 0;
		info->can_discard = info->can_zero && !dev->nodelete;
		return;
	}
	info->can_discard =
	    !dev->nodelete && block_queue_limit(dev, "discard_max_bytes") > 0;
	info->can_zero = block_queue_limit(dev, "write_zeroes_max_bytes") > 0;
}

/* "BHYVE-XXXX-XXXX-XXXX": docs/bhyve.md 1.16. */
static void
block_set_ident(struct blockdev *dev)
{
	MD5_CTX md5;
	uint8_t d[MD5_DIGEST_LENGTH];

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)dev->path, strlen(dev->path));
	MD5Final(d, &md5);
	snprintf(dev->info.ident, sizeof(dev->info.ident),
	    "BHYVE-%02X%02X-%02X%02X-%02X%02X", d[0], d[1], d[2], d[3], d[4],
	    d[5]);
}

/* A write beyond RLIMIT_FSIZE is an error, not the end of the process. */
static void
block_ignore_sigxfsz(void)
{
	struct sigaction old;

	if (sigaction(SIGXFSZ, NULL, &old) == 0 &&
	    (old.sa_flags & SA_SIGINFO) == 0 && old.sa_handler == SIG_DFL)
		signal(SIGXFSZ, SIG_IGN);
}

int
block_file_open(struct blockdev *dev, const struct block_opts *opts, char *err,
    size_t err_len)
{
	struct block_sectors host = { 0, 0 };
	int error;

	block_ignore_sigxfsz();
	dev->direct = opts->nocache;
	dev->sync = opts->sync;
	dev->nodelete = opts->nodelete;
	error = block_open_fd(dev, opts->ro);
	if (error == -ENOTBLK)
		return block_fail(-EINVAL, err, err_len,
		    "%s: neither a file nor a block device", dev->path);
	if (error == -EBUSY)
		return block_open_busy(dev, err, err_len);
	if (error != 0)
		return block_open_errno(dev, error, err, err_len);
	error =
	    block_lock_image(dev->fd, !dev->info.ro, dev->path, err, err_len);
	if (error == 0)
		error = block_measure(dev, &host, err, err_len);
	if (error == 0)
		error = block_set_sectors(dev, opts, &host, err, err_len);
	if (error == 0)
		error = block_check_size(dev, err, err_len);
	if (error == 0)
		error = block_probe_direct(dev, err, err_len);
	if (error != 0)
		return error;
	block_probe_discard(dev);
	block_set_ident(dev);
	return 0;
}
