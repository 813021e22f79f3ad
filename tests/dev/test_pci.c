/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration: both mechanisms, slots, options, the bridges. */
#include "board.h"

#include <errno.h>
#include <stdio.h>

#include <conf/conf.h>
#include <vmm/pci.h>

#define ADDR 0xcf8
#define DATA 0xcfc

struct pc {
	struct board b;
	struct pci_bus *bus;
};

static const struct pci_dev_ops *
model(const char *name)
{
	const struct pci_dev_ops *ops = pci_dev_find(name);

	assert_non_null(ops);
	return ops;
}

static int
add(struct pc *pc, const struct pci_dev_ops *ops, unsigned int bus,
    unsigned int slot, unsigned int func, char *err, size_t err_len)
{
	return pci_dev_create(
	    pc->bus, ops, NULL, bus, slot, func, err, err_len);
}

static void
add_ok(struct pc *pc, const char *name, unsigned int bus, unsigned int slot,
    unsigned int func)
{
	char err[256] = "";

	if (add(pc, model(name), bus, slot, func, err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

static void
setup_empty(struct pc *pc)
{
	board_init(&pc->b);
	assert_int_equal(pci_bus_create(pc->b.ctx, &pc->bus), 0);
}

static void
setup(struct pc *pc)
{
	setup_empty(pc);
	add_ok(pc, "hostbridge", 0, 0, 0);
	add_ok(pc, "lpc", 0, 31, 0);
}

static uint64_t
ecam(unsigned int bus, unsigned int slot, unsigned int func, unsigned int off)
{
	return PCI_ECAM_BASE + (bus << 20 | slot << 15 | func << 12 | off);
}

static void
select_cfg(struct pc *pc, unsigned int bus, unsigned int slot,
    unsigned int func, unsigned int off)
{
	board_out(&pc->b, ADDR, 4,
	    0x80000000u | bus << 16 | slot << 11 | func << 8 | off);
}

static void
test_address_latch(void **state)
{
	struct pc pc;

	setup(&pc);
	assert_int_equal(board_in(&pc.b, ADDR, 4), 0);
	board_out(&pc.b, ADDR, 4, 0xffffffff);
	assert_int_equal(board_in(&pc.b, ADDR, 4), 0x80ffffff);
	assert_int_equal(board_in(&pc.b, ADDR, 1), 0xff);
	assert_int_equal(board_in(&pc.b, ADDR, 2), 0xffff);
	board_out(&pc.b, ADDR, 1, 0);
	board_out(&pc.b, ADDR, 2, 0);
	assert_int_equal(board_in(&pc.b, ADDR, 4), 0x80ffffff);
	/* The next port is somebody else's. */
	board_out(&pc.b, 0xcf9, 4, 0);
	assert_int_equal(board_in(&pc.b, ADDR, 4), 0x80ffffff);
	chips_reset(pc.b.ctx);
	assert_int_equal(board_in(&pc.b, ADDR, 4), 0);
	board_fini(&pc.b);
}

static void
test_data_port(void **state)
{
	struct pc pc;

	setup(&pc);
	/* Not enabled. */
	board_out(&pc.b, ADDR, 4, 0);
	assert_int_equal(board_in(&pc.b, DATA, 4), UINT32_MAX);
	board_out(&pc.b, DATA, 4, 0);
	select_cfg(&pc, 0, 0, 0, 0);
	assert_int_equal(board_in(&pc.b, DATA, 4), 0x12751275);
	assert_int_equal(board_in(&pc.b, DATA + 2, 2), 0x1275);
	assert_int_equal(board_in(&pc.b, DATA + 1, 1), 0x12);
	select_cfg(&pc, 0, 31, 0, 8);
	assert_int_equal(board_in(&pc.b, DATA, 4), 0x06010000);
	/* The low bits of the latch count. */
	select_cfg(&pc, 0, 31, 0, 0x0a);
	assert_int_equal(board_in(&pc.b, DATA, 2), 0x0601);
	assert_int_equal(board_in(&pc.b, DATA, 4), UINT32_MAX); /* misaligned */
	assert_int_equal(board_in(&pc.b, DATA + 2, 4), 0x00000000);
	select_cfg(&pc, 0, 31, 0, 0);
	assert_int_equal(board_in(&pc.b, DATA + 1, 2), 0xffff);
	assert_int_equal(board_in(&pc.b, DATA + 3, 4), UINT32_MAX);
	/* 0xFF + 1 is beyond the 256 bytes. */
	select_cfg(&pc, 0, 31, 0, 0xff);
	assert_int_equal(board_in(&pc.b, DATA + 1, 4), UINT32_MAX);
	assert_int_equal(board_in(&pc.b, DATA + 2, 1), 0xff);
	board_out(&pc.b, DATA + 2, 1, 0);
	board_fini(&pc.b);
}

static void
test_ecam(void **state)
{
	struct pc pc;

	setup(&pc);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0), 4), 0x70008086);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 2), 2), 0x7000);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 1), 1), 0x80);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 1), 2), 0xffff);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 2), 4), UINT32_MAX);
	assert_true(board_read(&pc.b, ecam(0, 31, 0, 0), 8) == UINT64_MAX);
	/* Extended space of a PCI Express function: an empty list. */
	for (unsigned int off = 0x100; off < 0x1000; off += 4)
		assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, off), 4), 0);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0xfff), 1), 0);
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 0, 0, 0x102), 4), UINT32_MAX);
	board_write(&pc.b, ecam(0, 0, 0, 0x100), 4, 1);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x100), 4), 0);
	/* A conventional one has none. */
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 31, 0, 0x100), 4), UINT32_MAX);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0xfff), 1), 0xff);
	board_write(&pc.b, ecam(0, 31, 0, 0x100), 4, 1);
	/* Across the edge of a function, and at both ends of the window. */
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 31, 0, 0xffe), 4), UINT32_MAX);
	assert_int_equal(
	    board_read(&pc.b, ecam(255, 31, 7, 0xffc), 4), UINT32_MAX);
	assert_int_equal(
	    board_read(&pc.b, ecam(255, 31, 7, 0xffe), 4), UINT32_MAX);
	board_write(&pc.b, ecam(0, 31, 0, 0x3c), 8, 0);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0x3c), 1), 0xff);
	board_fini(&pc.b);
}

static void
test_absent(void **state)
{
	struct pc pc;

	setup(&pc);
	for (unsigned int slot = 1; slot < 31; slot++)
		assert_int_equal(
		    board_read(&pc.b, ecam(0, slot, 0, 0), 4), UINT32_MAX);
	for (unsigned int func = 1; func < 8; func++)
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 31, func, 0), 2), 0xffff);
	for (unsigned int bus = 1; bus < 256; bus++)
		assert_int_equal(
		    board_read(&pc.b, ecam(bus, 0, 0, 0), 4), UINT32_MAX);
	select_cfg(&pc, 0, 5, 0, 0);
	board_out(&pc.b, DATA, 4, 0);
	assert_int_equal(board_in(&pc.b, DATA, 1), 0xff);
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 5, 0, 0x100), 4), UINT32_MAX);
	board_fini(&pc.b);
}

static void
test_multifunction_bit(void **state)
{
	struct pc pc;

	setup(&pc);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x0e), 1), 0x00);
	add_ok(&pc, "amd_hostbridge", 0, 0, 3);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x0e), 1), 0x80);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 3, 0x0e), 1), 0x80);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x0c), 4), 0x00800000);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0x0e), 1), 0x00);
	/* It cannot be written. */
	board_write(&pc.b, ecam(0, 0, 0, 0x0e), 1, 0x01);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x0e), 1), 0x80);
	board_fini(&pc.b);
}

/* Every byte of the header takes only what its mask lets in. */
static void
test_write_masks(void **state)
{
	struct pc pc;

	setup(&pc);
	for (unsigned int off = 0; off < 256; off += 4)
		board_write(&pc.b, ecam(0, 31, 0, off), 4, UINT32_MAX);
	for (unsigned int off = 0; off < 256; off += 4) {
		uint32_t want;

		switch (off) {
		case 0x00:
			want = 0x70008086;
			break;
		case 0x04:
			want = 0x0000077f;
			break;
		case 0x08:
			want = 0x06010000;
			break;
		case 0x0c:
			want = 0x0000ffff;
			break;
		case 0x3c:
			want = 0x000000ff;
			break;
		case 0x60:
		case 0x68:
			want = 0x8f8f8f8f;
			break;
		default:
			want = 0;
			break;
		}
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 31, 0, off), 4), want);
	}
	board_fini(&pc.b);
}

static void
test_hostbridge(void **state)
{
	static const struct {
		const char *name;
		uint32_t id;
	} bridges[] = { { "hostbridge", 0x12751275 },
		{ "amd_hostbridge", 0x74321022 } };

	for (size_t i = 0; i < ARRAY_LEN(bridges); i++) {
		struct pc pc;

		setup_empty(&pc);
		add_ok(&pc, bridges[i].name, 0, 0, 0);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0), 4), bridges[i].id);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 8), 4), 0x06000000);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x06), 2), 0x0010);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x34), 1), 0x40);
		/* PCI Express, last in the list, version 2, root port. */
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x40), 4), 0x00420010);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x4c), 4), 0x411);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x52), 2), 0x11);
		board_write(&pc.b, ecam(0, 0, 0, 0x40), 4, 0);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 0, 0, 0x40), 4), 0x00420010);
		board_fini(&pc.b);
	}
}

static void
test_lpc_pirq(void **state)
{
	struct pc pc;

	setup(&pc);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 31, 0, 0x60 + i), 1), 0x80);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 31, 0, 0x68 + i), 1), 0x80);
		board_write(&pc.b, ecam(0, 31, 0, 0x60 + i), 1, 0x75 + i);
		assert_int_equal(
		    board_read(&pc.b, ecam(0, 31, 0, 0x60 + i), 1), 0x05 + i);
	}
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0x64), 4), 0);
	chips_reset(pc.b.ctx);
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 31, 0, 0x60), 4), 0x80808080);
	board_fini(&pc.b);
}

/* --- creation ------------------------------------------------------------- */

static void
assert_refused(struct pc *pc, const char *name, unsigned int bus,
    unsigned int slot, unsigned int func, int error, const char *says)
{
	char err[256] = "";

	assert_int_equal(
	    add(pc, model(name), bus, slot, func, err, sizeof(err)), error);
	if (strstr(err, says) == NULL)
		fail_msg("said: %s", err);
}

static void
test_slot_errors(void **state)
{
	struct pc pc;

	setup(&pc);
	assert_refused(&pc, "hostbridge", 0, 31, 0, -EEXIST,
	    "pci slot 0:31:0: already occupied by lpc");
	assert_refused(&pc, "hostbridge", 256, 0, 0, -EINVAL, "0 to 255");
	assert_refused(&pc, "hostbridge", 0, 32, 0, -EINVAL, "0 to 31");
	assert_refused(&pc, "hostbridge", 0, 0, 8, -EINVAL, "0 to 7");
	assert_refused(&pc, "lpc", 0, 30, 0, -EINVAL, "only one lpc");
	assert_refused(&pc, "lpc", 1, 30, 0, -EINVAL, "bus 0");
	assert_int_equal(board_read(&pc.b, ecam(0, 30, 0, 0), 4), UINT32_MAX);
	add_ok(&pc, "hostbridge", 255, 31, 7);
	assert_int_equal(board_read(&pc.b, ecam(255, 31, 7, 0), 4), 0x12751275);
	board_fini(&pc.b);
}

static void
test_second_bus(void **state)
{
	struct pci_bus *second;
	struct pc pc;

	setup(&pc);
	assert_int_equal(pci_bus_create(pc.b.ctx, &second), -EEXIST);
	select_cfg(&pc, 0, 0, 0, 0);
	assert_int_equal(board_in(&pc.b, DATA, 2), 0x1275);
	board_fini(&pc.b);
}

static void
test_table(void **state)
{
	assert_null(pci_dev_find("lp"));
	assert_null(pci_dev_find(""));
	assert_true(pci_dev_table_len >= 3);
	for (size_t i = 0; i < pci_dev_table_len; i++) {
		assert_non_null(pci_dev_table[i]->name);
		assert_non_null(pci_dev_table[i]->summary);
		assert_int_not_equal(pci_dev_table[i]->id.vendor, 0);
		assert_ptr_equal(
		    pci_dev_find(pci_dev_table[i]->name), pci_dev_table[i]);
	}
}

/* --- a model of our own --------------------------------------------------- */

struct probe {
	uint32_t reg;
	unsigned int resets, pauses, resumes;
	const char *colour;
};

static unsigned int probe_finis;
static int probe_init_error;

static int
probe_init(struct pci_dev *pd, char *err, size_t err_len)
{
	struct probe *p = pci_dev_state(pd);

	assert_int_equal(p->reg, 0); /* zeroed */
	p->reg = 0x1234;
	p->colour = pci_dev_opt(pd, "colour");
	assert_int_equal(pci_cap_add(pd, 0x09, 6), 0x40);
	assert_int_equal(pci_cap_add(pd, 0x05, 14), 0x48);
	assert_int_equal(pci_cap_add(pd, 0x05, 200), -ENOSPC);
	pci_cfg_set8(pd, 0x9f, 0x77);
	snprintf(err, err_len, "probe says no");
	return probe_init_error;
}

static void
probe_fini(struct pci_dev *pd)
{
	assert_non_null(pci_dev_state(pd));
	probe_finis++;
}

static bool
probe_cfg_read(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t *val)
{
	struct probe *p = pci_dev_state(pd);

	if (off != 0x80 || bytes != 4)
		return false;
	*val = p->reg;
	return true;
}

static bool
probe_cfg_write(
    struct pci_dev *pd, unsigned int off, unsigned int bytes, uint32_t val)
{
	struct probe *p = pci_dev_state(pd);

	assert_true(off >= 0x40);
	if (off != 0x80)
		return false;
	p->reg = val;
	return true;
}

static void
probe_reset(struct pci_dev *pd)
{
	struct probe *p = pci_dev_state(pd);

	p->reg = 0x1234;
	p->resets++;
	assert_int_equal(pci_cfg_get8(pd, 0x3c), 0xff); /* the core first */
}

static void
probe_pause(struct pci_dev *pd)
{
	((struct probe *)pci_dev_state(pd))->pauses++;
}

static void
probe_resume(struct pci_dev *pd)
{
	((struct probe *)pci_dev_state(pd))->resumes++;
}

static void
probe_snapshot(struct pci_dev *pd, struct snap *s)
{
	struct probe *p = pci_dev_state(pd);

	snap_bytes(s, "probe", &p->reg, sizeof(p->reg));
}

static const struct pci_opt probe_opts[] = {
	{ "colour", "what it looks like" },
	{ "size", "how big it is" },
	{ "port.*.path", "where port N goes" },
	{ NULL, NULL },
};

static const struct pci_dev_ops probe_ops = {
	.name = "probe",
	.summary = "for tests",
	.id = { .vendor = 0x1af4,
	    .device = 0x1005,
	    .subvendor = 0x1af4,
	    .subdevice = 4,
	    .revision = 7,
	    .class_code = 0x108002 },
	.opts = probe_opts,
	.state_size = sizeof(struct probe),
	.init = probe_init,
	.fini = probe_fini,
	.reset = probe_reset,
	.cfg_read = probe_cfg_read,
	.cfg_write = probe_cfg_write,
	.pause = probe_pause,
	.resume = probe_resume,
	.snapshot = probe_snapshot,
};

static void
test_model(void **state)
{
	struct pc pc;
	char err[64];

	probe_finis = 0;
	probe_init_error = 0;
	setup(&pc);
	assert_int_equal(add(&pc, &probe_ops, 0, 3, 0, err, sizeof(err)), 0);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 8), 4), 0x10800207);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x2c), 4), 0x00041af4);
	/* Two capabilities, linked; the status bit. */
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 6), 2), 0x10);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x34), 1), 0x40);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x40), 2), 0x4809);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x48), 2), 0x0005);
	/* Its own register, and the default beside it. */
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x80), 4), 0x1234);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x80), 2), 0);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x9f), 1), 0x77);
	board_write(&pc.b, ecam(0, 3, 0, 0x80), 4, 0xabcd);
	board_write(&pc.b, ecam(0, 3, 0, 0x9f), 1, 0);
	board_write(&pc.b, ecam(0, 3, 0, 0x3c), 1, 9);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x80), 4), 0xabcd);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x9f), 1), 0x77);
	chips_pause(pc.b.ctx);
	chips_resume(pc.b.ctx);
	chips_reset(pc.b.ctx);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0x80), 4), 0x1234);
	board_fini(&pc.b);
	assert_int_equal(probe_finis, 1);
}

static void
test_init_fails(void **state)
{
	struct pc pc;
	char err[64] = "";

	probe_finis = 0;
	probe_init_error = -ENOENT;
	setup(&pc);
	assert_int_equal(
	    add(&pc, &probe_ops, 0, 3, 0, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "probe says no");
	assert_int_equal(probe_finis, 1);
	assert_int_equal(board_read(&pc.b, ecam(0, 3, 0, 0), 4), UINT32_MAX);
	probe_init_error = 0;
	assert_int_equal(add(&pc, &probe_ops, 0, 3, 0, err, sizeof(err)), 0);
	board_fini(&pc.b);
}

static void
test_options(void **state)
{
	struct conf *conf = conf_create();
	struct pc pc;
	char err[256] = "";

	probe_init_error = 0;
	setup(&pc);
	conf_set_raw(conf, "pci.0.3.0.device", "probe");
	conf_set_raw(conf, "pci.0.3.0.colour", "red");
	/* Others' keys, also of a node that begins alike. */
	conf_set_raw(conf, "pci.0.3.01.bogus", "1");
	conf_set_raw(conf, "pci.0.4.0.bogus", "1");
	assert_int_equal(
	    pci_dev_create(pc.bus, &probe_ops, conf, 0, 3, 0, err, sizeof(err)),
	    0);
	conf_set_raw(conf, "pci.0.4.0.device", "probe");
	conf_set_raw(conf, "pci.0.5.0.color", "red");
	assert_int_equal(
	    pci_dev_create(pc.bus, &probe_ops, conf, 0, 5, 0, err, sizeof(err)),
	    -EINVAL);
	assert_string_equal(err,
	    "pci slot 0:5:0: unknown option 'color' of probe; did you mean "
	    "'colour'?");
	assert_int_equal(pci_dev_create(pc.bus, model("hostbridge"), conf, 0, 5,
			     0, err, sizeof(err)),
	    -EINVAL);
	assert_string_equal(err,
	    "pci slot 0:5:0: unknown option 'color': hostbridge takes none");
	board_fini(&pc.b);
	conf_destroy(conf);
}

static void
test_option_patterns(void **state)
{
	static const char *const known[] = { "device", "colour", "size",
		"port.0.path", "port.31.path", "pcireg.vendor",
		"pcireg.subdevice", "pcireg.revid" };
	static const char *const unknown[] = { "", "colou", "colours", "port",
		"port..path", "port.x.path", "port.0x.path", "port.0.pat",
		"port.0.paths", "port.*.path", "pcireg.", "pcireg.class" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_true(pci_opt_known(&probe_ops, known[i]));
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		assert_false(pci_opt_known(&probe_ops, unknown[i]));
	assert_true(pci_opt_known(model("lpc"), "pcireg.device"));
	assert_false(pci_opt_known(model("lpc"), "path"));
}

static void
test_identity_override(void **state)
{
	struct conf *conf = conf_create();
	struct pc pc;
	char err[256] = "";

	setup_empty(&pc);
	conf_set_raw(conf, "pci.0.0.0.pcireg.vendor", "0x8086");
	conf_set_raw(conf, "pci.0.0.0.pcireg.device", "4663");
	conf_set_raw(conf, "pci.0.0.0.pcireg.revid", "2");
	conf_set_raw(conf, "pci.0.0.0.pcireg.subvendor", "0x1af4");
	conf_set_raw(conf, "lpc.pcireg.subdevice", "0x1100");
	conf_set_raw(conf, "lpc.pcireg.revid", "7");
	conf_set_raw(conf, "pci.0.31.0.pcireg.revid", "8");
	assert_int_equal(pci_dev_create(pc.bus, model("hostbridge"), conf, 0, 0,
			     0, err, sizeof(err)),
	    0);
	assert_int_equal(pci_dev_create(pc.bus, model("lpc"), conf, 0, 31, 0,
			     err, sizeof(err)),
	    0);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0), 4), 0x12378086);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 8), 4), 0x06000002);
	assert_int_equal(board_read(&pc.b, ecam(0, 0, 0, 0x2c), 4), 0x1af4);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0), 4), 0x70008086);
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 8), 1), 8);
	assert_int_equal(
	    board_read(&pc.b, ecam(0, 31, 0, 0x2c), 4), 0x11000000);
	board_fini(&pc.b);
	conf_destroy(conf);
}

static void
test_snapshot(void **state)
{
	struct pc a, b, c;
	char err[64];

	probe_init_error = 0;
	setup(&a);
	setup(&b);
	setup(&c);
	assert_int_equal(add(&a, &probe_ops, 0, 3, 0, err, sizeof(err)), 0);
	assert_int_equal(add(&b, &probe_ops, 0, 3, 0, err, sizeof(err)), 0);
	add_ok(&c, "hostbridge", 0, 3, 0);
	select_cfg(&a, 0, 31, 0, 0x60);
	board_out(&a.b, DATA, 1, 0x0b);
	board_write(&a.b, ecam(0, 3, 0, 0x80), 4, 0x55aa);
	board_write(&a.b, ecam(0, 3, 0, 0x04), 2, 0x0007);
	assert_int_equal(board_load(&b.b, board_save(&a.b)), 0);
	assert_int_equal(board_in(&b.b, DATA, 1), 0x0b);
	assert_int_equal(board_read(&b.b, ecam(0, 3, 0, 0x80), 4), 0x55aa);
	assert_int_equal(board_read(&b.b, ecam(0, 3, 0, 0x04), 2), 0x0007);
	/* What is read-only comes from the model. */
	assert_int_equal(board_load(&b.b, board_spoil(board_save(&a.b),
					      "pci.0.3.0", 0x34, 0)),
	    0);
	assert_int_equal(board_read(&b.b, ecam(0, 3, 0, 0x34), 1), 0x40);
	/* Another device in that slot. */
	assert_int_equal(board_load(&c.b, board_save(&a.b)), -EINVAL);
	assert_int_equal(
	    board_load(&b.b, board_spoil(board_save(&a.b), "pci.0.31.0", 3, 0)),
	    -EINVAL);
	board_fini(&a.b);
	board_fini(&b.b);
	board_fini(&c.b);
}

/* Every port and width, any latch: nothing but values. */
static void
test_any_access(void **state)
{
	uint32_t seed = 1;
	struct pc pc;

	setup(&pc);
	for (unsigned int i = 0; i < 20000; i++) {
		unsigned int bytes = 1u << (seed >> 8 & 3);
		uint32_t val;

		seed = seed * 1664525 + 1013904223;
		val = seed ^ seed << 7;
		if (bytes < 8) {
			board_out(&pc.b, ADDR, 4, val | 0x80000000u);
			board_out(&pc.b, (uint16_t)(DATA + (seed >> 20 & 3)),
			    bytes, val);
			board_in(
			    &pc.b, (uint16_t)(DATA + (seed >> 22 & 3)), bytes);
		}
		board_write(
		    &pc.b, PCI_ECAM_BASE + (val & 0x0fffffff), bytes, val);
		board_read(&pc.b, PCI_ECAM_BASE + (seed & 0x0fffffff), bytes);
	}
	assert_int_equal(board_read(&pc.b, ecam(0, 31, 0, 0), 4), 0x70008086);
	board_fini(&pc.b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_latch),
		cmocka_unit_test(test_data_port),
		cmocka_unit_test(test_ecam),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_multifunction_bit),
		cmocka_unit_test(test_write_masks),
		cmocka_unit_test(test_hostbridge),
		cmocka_unit_test(test_lpc_pirq),
		cmocka_unit_test(test_slot_errors),
		cmocka_unit_test(test_second_bus),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_init_fails),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_patterns),
		cmocka_unit_test(test_identity_override),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_any_access),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
