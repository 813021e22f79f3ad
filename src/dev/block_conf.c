/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The settings of disks.  bhyve's meanings (docs/bhyve.md 1.3 and 4.2); values
 * are checked strictly.  bootindex is only checked: firmware tables read it
 * from the tree.
 */
#include <dev/block_conf.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <conf/conf.h>

#define BLOCK_CONF_SECTOR_MIN 512u
#define BLOCK_CONF_SECTOR_MAX 65536u
#define BLOCK_CONF_BOOT_MAX   255u

static int __attribute__((format(printf, 3, 4)))
block_conf_fail(char *err, size_t err_len, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static const char *
block_conf_get(struct pci_dev *pd, const char *prefix, const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s%s", prefix, name);
	return pci_dev_opt(pd, key);
}

/* "L" or "L/P"; no P: *ret_psec stays 0. */
static bool
block_conf_sectors(const char *s, uint32_t *ret_lsec, uint32_t *ret_psec)
{
	const char *slash = strchr(s, '/');
	uint64_t l, p = 0;
	char text[16];
	size_t n = slash != NULL ? (size_t)(slash - s) : strlen(s);

	if (n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	if (parse_u64(text, BLOCK_CONF_SECTOR_MIN, BLOCK_CONF_SECTOR_MAX, &l) !=
	    0)
		return false;
	if (slash != NULL &&
	    parse_u64(slash + 1, l, BLOCK_CONF_SECTOR_MAX, &p) != 0)
		return false;
	*ret_lsec = (uint32_t)l;
	*ret_psec = (uint32_t)p;
	return (l & (l - 1)) == 0 && (p & (p - 1)) == 0;
}

static int
block_conf_flags(struct pci_dev *pd, const char *prefix,
    struct block_opts *opts, char *err, size_t err_len)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "nocache", &opts->nocache },
		{ "direct", &opts->sync },
		{ "sync", &opts->sync },
		{ "ro", &opts->ro },
		{ "nodelete", &opts->nodelete },
	};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		const char *s = block_conf_get(pd, prefix, flags[i].name);
		bool on = false;

		if (s != NULL && conf_parse_bool(s, &on) != 0)
			return block_conf_fail(err, err_len,
			    "%s%s=%.32s: right is true or false", prefix,
			    flags[i].name, s);
		*flags[i].flag |= on;
	}
	return 0;
}

int
block_conf_read(struct pci_dev *pd, const char *prefix, struct block_opts *opts,
    char *err, size_t err_len)
{
	const char *sectors = block_conf_get(pd, prefix, "sectorsize");
	const char *boot = block_conf_get(pd, prefix, "bootindex");
	uint64_t index;

	opts->path = block_conf_get(pd, prefix, "path");
	opts->engine = block_conf_get(pd, prefix, "aio");
	if (sectors != NULL &&
	    !block_conf_sectors(sectors, &opts->lsec_bytes, &opts->psec_bytes))
		return block_conf_fail(err, err_len,
		    "%ssectorsize=%.32s: right is LOGICAL[/PHYSICAL], powers "
		    "of two from %u to %u, the physical not below the logical",
		    prefix, sectors, BLOCK_CONF_SECTOR_MIN,
		    BLOCK_CONF_SECTOR_MAX);
	if (boot != NULL && parse_u64(boot, 0, BLOCK_CONF_BOOT_MAX, &index))
		return block_conf_fail(err, err_len,
		    "%sbootindex=%.32s: right is a number from 0 to %u", prefix,
		    boot, BLOCK_CONF_BOOT_MAX);
	if (opts->engine != NULL && strcmp(opts->engine, "io_uring") != 0 &&
	    strcmp(opts->engine, "threads") != 0)
		return block_conf_fail(err, err_len,
		    "%saio=%.32s: right is io_uring or threads", prefix,
		    opts->engine);
	return block_conf_flags(pd, prefix, opts, err, err_len);
}

int
block_conf_open(struct pci_dev *pd, const char *prefix, struct block_opts *opts,
    struct blockdev **ret, char *err, size_t err_len)
{
	int error = block_conf_read(pd, prefix, opts, err, err_len);

	if (error != 0)
		return error;
	if (opts->path == NULL || *opts->path == '\0')
		return block_conf_fail(err, err_len,
		    "%s: no image; %spath= names one", pci_dev_name(pd),
		    prefix);
	return block_open(opts, ret, err, err_len);
}
