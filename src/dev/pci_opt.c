/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pci_opt.c - the settings of a device: which ones it knows, and those that
 * every device has, its identity (docs/bhyve.md 4.4, pcireg).
 *
 * Runs in the thread that builds the machine.
 */
#include "pci_priv.h"

#include <errno.h>
#include <stdio.h>

#include <conf/conf.h>

/* '*' in a pattern stands for a number from 0 to 99, written in one way. */
static bool
pci_opt_matches(const char *pattern, const char *name)
{
	while (*pattern != '\0') {
		if (*pattern == '*') {
			size_t digits = strspn(name, "0123456789");

			if (digits == 0 || digits > 2 ||
			    (digits == 2 && *name == '0'))
				return false;
			name += digits;
			pattern++;
		} else if (*pattern++ != *name++) {
			return false;
		}
	}
	return *name == '\0';
}

/* Settings of every device; the rest is what schema.c calls pcireg. */
static const char *const pci_common_opts[] = { "device", "pcireg.vendor",
	"pcireg.device", "pcireg.subvendor", "pcireg.subdevice",
	"pcireg.revid" };

bool
pci_opt_known(const struct pci_dev_ops *ops, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(pci_common_opts); i++)
		if (strcmp(name, pci_common_opts[i]) == 0)
			return true;
	for (const struct pci_opt *o = ops->opts; o != NULL && o->name != NULL;
	     o++)
		if (pci_opt_matches(o->name, name))
			return true;
	return false;
}

struct pci_opt_check {
	const struct pci_dev *pd;
	char *err;
	size_t err_len;
	int error;
};

static const char *
pci_nearest_opt(const struct pci_dev_ops *ops, const char *name)
{
	const char *names[32];
	size_t n = 0;

	while (n < ARRAY_LEN(names) && ops->opts != NULL &&
	       ops->opts[n].name != NULL) {
		names[n] = ops->opts[n].name;
		n++;
	}
	return n > 0 ? nearest_name(name, names, n) : NULL;
}

static void
pci_check_opt(const char *key, const char *value, void *arg)
{
	struct pci_opt_check *c = arg;
	const struct pci_dev_ops *ops = c->pd->ops;
	size_t node_len = strlen(c->pd->node);
	const char *name = key + node_len + 1, *nearest;

	if (c->error != 0 || strncmp(key, c->pd->node, node_len) != 0 ||
	    key[node_len] != '.' || pci_opt_known(ops, name))
		return;
	c->error = -EINVAL;
	if (ops->opts == NULL || ops->opts[0].name == NULL) {
		snprintf(c->err, c->err_len,
		    "pci slot %u:%u:%u: unknown option '%s': %s takes none",
		    c->pd->busno, c->pd->slot, c->pd->func, name, ops->name);
		return;
	}
	nearest = pci_nearest_opt(ops, name);
	snprintf(c->err, c->err_len,
	    "pci slot %u:%u:%u: unknown option '%s' of %s%s%s%s", c->pd->busno,
	    c->pd->slot, c->pd->func, name, ops->name,
	    nearest != NULL ? "; did you mean '" : "",
	    nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
}

int
pci_check_opts(const struct pci_dev *pd, char *err, size_t err_len)
{
	struct pci_opt_check c = { .pd = pd, .err = err, .err_len = err_len };

	if (pd->conf != NULL)
		conf_foreach(pd->conf, pd->node, pci_check_opt, &c);
	return c.error;
}

/* --- identity ------------------------------------------------------------- */

/* The user's value of a pcireg key, or the model's. */
static uint16_t
pci_opt_reg(const struct pci_dev *pd, const char *name, uint16_t dflt)
{
	char key[64];

	if (pd->conf == NULL)
		return dflt;
	snprintf(key, sizeof(key), "%s.pcireg.%s", pd->node, name);
	/* The bridge's have a place of their own as well. */
	if (!conf_is_set(pd->conf, key) && strcmp(pd->ops->name, "lpc") == 0)
		snprintf(key, sizeof(key), "lpc.pcireg.%s", name);
	return (uint16_t)conf_get_u64(pd->conf, key, dflt);
}

struct pci_id
pci_opt_id(const struct pci_dev *pd)
{
	struct pci_id id = pd->ops->id;

	id.vendor = pci_opt_reg(pd, "vendor", id.vendor);
	id.device = pci_opt_reg(pd, "device", id.device);
	id.subvendor = pci_opt_reg(pd, "subvendor", id.subvendor);
	id.subdevice = pci_opt_reg(pd, "subdevice", id.subdevice);
	id.revision = (uint8_t)pci_opt_reg(pd, "revid", id.revision);
	return id;
}
