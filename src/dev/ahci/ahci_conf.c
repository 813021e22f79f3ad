/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings of ports, docs/bhyve.md 4.2 and 4.4: port.N.path and its like, and
 * the short spelling `-s slot,ahci,hd:PATH,OPT...,cd:PATH,OPT...`.
 */
#include "ahci_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include <conf/conf.h>
#include <dev/block_conf.h>

#define AHCI_KEY_LEN 128

const struct pci_opt ahci_opts[] = {
	BLOCK_CONF_OPTS("port.*."),
	{ "port.*.type", "hd (a disk) or cd (a CD-ROM drive)" },
	{ "port.*.nmrr", "rotation rate in 1/min; 1: not rotating" },
	{ "port.*.ser", "serial number, at most 20 characters" },
	{ "port.*.rev", "firmware revision, at most 8 characters" },
	{ "port.*.model", "model, at most 40 characters" },
	{ NULL, NULL },
};

/* --- -s words ------------------------------------------------------------- */

static int
ahci_conf_set(struct conf *c, const char *node, unsigned int port,
    const char *name, const char *value, char *err, size_t err_len)
{
	char key[AHCI_KEY_LEN];

	int n;

	if (strncmp(name, "pcireg.", 7) == 0) /* the controller's */
		n = snprintf(key, sizeof(key), "%s.%s", node, name);
	else
		n = snprintf(
		    key, sizeof(key), "%s.port.%u.%s", node, port, name);
	if (n < 0 || (size_t)n >= sizeof(key)) {
		snprintf(err, err_len, "no such option \"%.32s...\"", name);
		return -EINVAL;
	}
	if (conf_is_set(c, key)) {
		snprintf(err, err_len, "%s is there twice", name);
		return -EINVAL;
	}
	return conf_set(c, key, value, err, err_len);
}

/* "KEY=VALUE", or a word that is true by being there. */
static int
ahci_conf_word(struct conf *c, const char *node, unsigned int port, char *word,
    char *err, size_t err_len)
{
	char *value = strchr(word, '=');

	if (value != NULL)
		*value++ = '\0';
	if (*word == '\0') {
		snprintf(
		    err, err_len, "an option is missing between two commas");
		return -EINVAL;
	}
	return ahci_conf_set(
	    c, node, port, word, value != NULL ? value : "true", err, err_len);
}

static int
ahci_conf_device(struct conf *c, const char *node, unsigned int port,
    const char *type, const char *path, char *err, size_t err_len)
{
	int error;

	if (port >= AHCI_NPORTS) {
		snprintf(err, err_len, "more than %u devices", AHCI_NPORTS);
		return -EINVAL;
	}
	if (*path == '\0') {
		snprintf(err, err_len,
		    "the path of an image is missing; right is %s:PATH", type);
		return -EINVAL;
	}
	error = ahci_conf_set(c, node, port, "type", type, err, err_len);
	if (error == 0)
		error =
		    ahci_conf_set(c, node, port, "path", path, err, err_len);
	return error;
}

static const char *
ahci_conf_type(const char *word)
{
	if (strncmp(word, "hd:", 3) == 0)
		return "hd";
	return strncmp(word, "cd:", 3) == 0 ? "cd" : NULL;
}

/* A word that begins with hd: or cd: is the next port's. */
int
ahci_conf_parse(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	unsigned int nports = 0;
	int error = 0;

	for (char *word; error == 0 && (word = strsep(&words, ",")) != NULL;) {
		const char *type = ahci_conf_type(word);

		if (type == NULL && nports > 0)
			error = ahci_conf_word(
			    c, node, nports - 1, word, err, err_len);
		else
			error = ahci_conf_device(c, node, nports++,
			    type != NULL ? type : "hd",
			    type != NULL ? word + 3 : word, err, err_len);
	}
	return error;
}

static int
ahci_conf_parse_one(struct conf *c, const char *node, const char *type,
    char *words, char *err, size_t err_len)
{
	char *word = strsep(&words, ",");
	int error = ahci_conf_device(c, node, 0, type, word, err, err_len);

	while (error == 0 && (word = strsep(&words, ",")) != NULL)
		error = ahci_conf_word(c, node, 0, word, err, err_len);
	return error;
}

int
ahci_conf_parse_hd(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	return ahci_conf_parse_one(c, node, "hd", words, err, err_len);
}

int
ahci_conf_parse_cd(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	return ahci_conf_parse_one(c, node, "cd", words, err, err_len);
}

/* --- a port's settings ---------------------------------------------------- */

static const char *
ahci_port_opt(struct ahci_port *p, const char *name)
{
	char key[AHCI_KEY_LEN];

	snprintf(key, sizeof(key), "port.%u.%s", p->num, name);
	return pci_dev_opt(p->hba->pd, key);
}

static int
ahci_port_bad(struct ahci_port *p, const char *name, const char *value,
    const char *right, char *err, size_t err_len)
{
	snprintf(err, err_len, "%s: port.%u.%s: \"%.64s\"; right is %s",
	    pci_dev_name(p->hba->pd), p->num, name, value, right);
	return -EINVAL;
}

static int
ahci_port_string(struct ahci_port *p, const char *name, const char *dflt,
    char *dst, size_t size, char *err, size_t err_len)
{
	const char *s = ahci_port_opt(p, name);
	char right[64];

	if (s == NULL)
		s = dflt;
	for (const char *c = s; *c != '\0'; c++) {
		if (isprint((unsigned char)*c) && (size_t)(c - s) < size - 1)
			continue;
		snprintf(right, sizeof(right),
		    "at most %zu printable characters", size - 1);
		return ahci_port_bad(p, name, s, right, err, err_len);
	}
	snprintf(dst, size, "%s", s);
	return 0;
}

static int
ahci_port_identity(struct ahci_port *p, char *err, size_t err_len)
{
	const char *model = p->atapi ? "BHYVE SATA DVD ROM" : "BHYVE SATA DISK";
	const char *nmrr = ahci_port_opt(p, "nmrr");
	uint64_t rate = 0;
	int error;

	if (nmrr != NULL && parse_u64(nmrr, 0, 0xfffe, &rate) != 0)
		return ahci_port_bad(
		    p, "nmrr", nmrr, "a number from 0 to 65534", err, err_len);
	p->nmrr = (uint16_t)rate;
	error = ahci_port_string(
	    p, "ser", p->info->ident, p->ser, sizeof(p->ser), err, err_len);
	if (error == 0)
		error = ahci_port_string(
		    p, "rev", "001", p->rev, sizeof(p->rev), err, err_len);
	if (error == 0)
		error = ahci_port_string(p, "model", model, p->model,
		    sizeof(p->model), err, err_len);
	return error;
}

static int
ahci_port_open(struct ahci_port *p, char *err, size_t err_len)
{
	struct block_opts opts = { .ro = p->atapi };
	char prefix[32];
	int error;

	snprintf(prefix, sizeof(prefix), "port.%u.", p->num);
	error =
	    block_conf_open(p->hba->pd, prefix, &opts, &p->bdev, err, err_len);
	if (error != 0)
		return error;
	p->info = block_info(p->bdev);
	if (p->atapi && p->info->lsec_bytes > CD_BLOCK) {
		snprintf(err, err_len,
		    "%s: port %u: a CD-ROM has sectors of at most %u bytes",
		    pci_dev_name(p->hba->pd), p->num, CD_BLOCK);
		return -EINVAL;
	}
	return ahci_port_identity(p, err, err_len);
}

/* Settings, and no medium they could be for. */
static int
ahci_port_no_path(struct ahci_port *p, char *err, size_t err_len)
{
	for (const struct pci_opt *o = ahci_opts; o->name != NULL; o++) {
		const char *name = strrchr(o->name, '.') + 1;

		if (ahci_port_opt(p, name) == NULL)
			continue;
		snprintf(err, err_len,
		    "%s: port.%u.%s is set, and port.%u.path is not",
		    pci_dev_name(p->hba->pd), p->num, name, p->num);
		return -EINVAL;
	}
	return 0;
}

int
ahci_conf_no_more(struct pci_dev *pd, char *err, size_t err_len)
{
	char key[AHCI_KEY_LEN];

	for (unsigned int i = AHCI_NPORTS; i < 100; i++) {
		for (const struct pci_opt *o = ahci_opts; o->name != NULL;
		     o++) {
			snprintf(key, sizeof(key), "port.%u%s", i,
			    strrchr(o->name, '.'));
			if (pci_dev_opt(pd, key) == NULL)
				continue;
			snprintf(err, err_len,
			    "%s: %s: there is no such port; right is 0 to %u",
			    pci_dev_name(pd), key, AHCI_NPORTS - 1);
			return -EINVAL;
		}
	}
	return 0;
}

int
ahci_conf_port(struct ahci_port *p, const char *type, char *err, size_t err_len)
{
	const char *path = ahci_port_opt(p, "path");
	const char *said = ahci_port_opt(p, "type");

	if (path == NULL && type != NULL && p->num == 0) {
		snprintf(err, err_len,
		    "%s: the path of an image is missing; right is "
		    "-s SLOT,ahci-%s,PATH",
		    pci_dev_name(p->hba->pd), type);
		return -EINVAL;
	}
	if (path == NULL)
		return ahci_port_no_path(p, err, err_len);
	if (said == NULL)
		said = type != NULL ? type : "hd";
	if (strcmp(said, "hd") != 0 && strcmp(said, "cd") != 0)
		return ahci_port_bad(p, "type", said, "hd or cd", err, err_len);
	p->atapi = said[0] == 'c';
	p->present = true;
	return ahci_port_open(p, err, err_len);
}
