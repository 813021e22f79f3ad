/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings of network cards: docs/bhyve.md 1.3 and 4.2, with backends of our
 * own.  Runs before the machine does.
 */
#include <dev/net_conf.h>

#include <errno.h>
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>

#include <conf/conf.h>
#include <vmmapi.h>

#define NET_CONF_DEFAULT "slirp"

/* --- the command line ----------------------------------------------------- */

static int
net_conf_set(struct conf *c, const char *node, const char *name,
    const char *value, char *err, size_t err_len)
{
	char key[256];

	snprintf(key, sizeof(key), "%s.%.150s", node, name);
	if (conf_is_set(c, key)) {
		snprintf(err, err_len, "%.64s is there twice", name);
		return -EINVAL;
	}
	return conf_set(c, key, value, err, err_len);
}

/* Another hostfwd= goes behind those that are there. */
static int
net_conf_add_hostfwd(struct conf *c, const char *node, const char *value,
    char *err, size_t err_len)
{
	char key[256];
	char *all;
	int error;

	snprintf(key, sizeof(key), "%s.hostfwd", node);
	if (!conf_is_set(c, key))
		return conf_set(c, key, value, err, err_len);
	if (asprintf(&all, "%s;%s", conf_get(c, key), value) == -1)
		return -ENOMEM;
	error = conf_set(c, key, all, err, err_len);
	free(all);
	return error;
}

static int
net_conf_word(struct conf *c, const char *node, char *word, bool first,
    char *err, size_t err_len)
{
	char *eq = strchr(word, '=');
	const char *value = "true";
	int error;

	if (eq != NULL) {
		*eq = '\0';
		value = eq + 1;
	}
	if (first && (eq == NULL || strcmp(word, "unix") == 0)) {
		error = net_conf_set(c, node, "backend", word, err, err_len);
		if (error != 0 || eq == NULL)
			return error;
		return net_conf_set(c, node, "path", value, err, err_len);
	}
	if (strcmp(word, "hostfwd") == 0)
		return net_conf_add_hostfwd(c, node, value, err, err_len);
	return net_conf_set(c, node, word, value, err, err_len);
}

int
net_conf_parse(
    struct conf *c, const char *node, char *words, char *err, size_t err_len)
{
	char *word;
	int error = 0;

	for (bool first = true; error == 0; first = false) {
		word = strsep(&words, ",");
		if (word == NULL)
			break;
		if (*word == '\0' || *word == '=') {
			snprintf(err, err_len,
			    "an empty setting; right is "
			    "BACKEND[,NAME=VALUE...]");
			return -EINVAL;
		}
		error = net_conf_word(c, node, word, first, err, err_len);
	}
	return error;
}

/* --- the values ----------------------------------------------------------- */

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c != '\0' ? strchr(digits, c | 0x20) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

int
net_conf_parse_mac(const char *text, uint8_t ret_mac[6])
{
	static const uint8_t zero[6];
	uint8_t mac[6];

	for (unsigned int i = 0; i < 6; i++) {
		int hi = hex_digit(text[0]);
		int lo = hi >= 0 ? hex_digit(text[1]) : -1;

		if (lo < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		mac[i] = (uint8_t)(hi << 4 | lo);
		text += 3;
	}
	if ((mac[0] & 1) != 0 || memcmp(mac, zero, sizeof(mac)) == 0)
		return -EINVAL;
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

void
net_conf_default_mac(unsigned int slot, unsigned int func, const char *vm_name,
    uint8_t ret_mac[6])
{
	static const uint8_t oui[3] = { 0x58, 0x9c, 0xfc };
	uint8_t digest[MD5_DIGEST_LENGTH];
	char text[VM_MAX_NAMELEN + 16];
	MD5_CTX md5;
	int n = snprintf(text, sizeof(text), "%u-%u-%s", slot, func, vm_name);

	MD5Init(&md5);
	MD5Update(&md5, (const uint8_t *)text, (size_t)n);
	MD5Final(digest, &md5);
	memcpy(ret_mac, oui, sizeof(oui));
	memcpy(ret_mac + 3, digest, 3);
}

static const char *
net_conf_get(void *arg, const char *name)
{
	return pci_dev_opt(arg, name);
}

static int
net_conf_mac(struct pci_dev *pd, uint8_t mac[6], char *err, size_t err_len)
{
	const char *text = pci_dev_opt(pd, "mac");
	unsigned int slot, func;

	if (text == NULL) {
		pci_dev_slot_func(pd, &slot, &func);
		net_conf_default_mac(
		    slot, func, vm_get_name(pci_dev_vm(pd)), mac);
		return 0;
	}
	if (net_conf_parse_mac(text, mac) == 0)
		return 0;
	snprintf(err, err_len,
	    "%s: mac=%.32s: right are six hexadecimal bytes with colons, the "
	    "first one even, not all zero, as in 58:9c:fc:01:02:03",
	    pci_dev_name(pd), text);
	return -EINVAL;
}

static int
net_conf_mtu(struct pci_dev *pd, uint16_t *ret, char *err, size_t err_len)
{
	const char *text = pci_dev_opt(pd, "mtu");
	uint64_t mtu;

	*ret = 0;
	if (text == NULL)
		return 0;
	if (parse_u64(text, NET_MTU_MIN, NET_MTU_MAX, &mtu) != 0) {
		snprintf(err, err_len, "%s: mtu=%.32s: right is %u to %u",
		    pci_dev_name(pd), text, NET_MTU_MIN, NET_MTU_MAX);
		return -EINVAL;
	}
	*ret = (uint16_t)mtu;
	return 0;
}

static bool
net_conf_takes(const struct net_backend_info *b, const char *setting)
{
	for (const char *const *s = b->settings; *s != NULL; s++) {
		if (strcmp(*s, setting) == 0)
			return true;
	}
	return false;
}

/* A setting of another kind of backend would be of no effect: say so. */
static int
net_conf_check_settings(
    struct pci_dev *pd, const char *backend, char *err, size_t err_len)
{
	const struct net_backend_info *own = NULL, *b;

	for (size_t i = 0; (b = net_backend_info(i)) != NULL; i++) {
		if (strncmp(b->name, backend, strlen(b->name)) == 0)
			own = b;
	}
	for (size_t i = 0; own != NULL && (b = net_backend_info(i)); i++) {
		for (const char *const *s = b->settings; *s != NULL; s++) {
			if (pci_dev_opt(pd, *s) == NULL ||
			    net_conf_takes(own, *s))
				continue;
			snprintf(err, err_len,
			    "%s: %s is a setting of %s, not of %.32s",
			    pci_dev_name(pd), *s, b->name, backend);
			return -EINVAL;
		}
	}
	return 0;
}

int
net_conf_read(
    struct pci_dev *pd, struct net_opts *ret, char *err, size_t err_len)
{
	const char *backend = pci_dev_opt(pd, "backend");
	int error;

	*ret = (struct net_opts){
		.backend = backend != NULL ? backend : NET_CONF_DEFAULT,
		.get = net_conf_get,
		.get_arg = pd,
	};
	error = net_conf_mac(pd, ret->mac, err, err_len);
	if (error == 0)
		error = net_conf_mtu(pd, &ret->mtu, err, err_len);
	if (error == 0)
		error = net_conf_check_settings(pd, ret->backend, err, err_len);
	return error;
}
