/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel 8042 keyboard controller (as in the IBM PS/2 Technical Reference,
 * "Keyboard and Auxiliary Device Controller"), with nothing plugged in.
 *
 * It answers every command at once so that probing takes no time: a byte for
 * the absent keyboard comes back as 0xFE with the time-out bit, there is no
 * auxiliary port.  Pulsing output line 0 (0xFE), or writing it low, resets the
 * machine; A20 is stored only.  Missing: keys, the mouse.  Accesses come from
 * vCPU threads.
 */
#include <chip/chips.h>

#include <stdlib.h>

#include <util/lock.h>
#include <util/log.h>
#include <vmm/bus.h>
#include <vmm/chip.h>
#include <vmm/snap.h>
#include <vmmapi.h>

#define I8042_DATA     0x60
#define I8042_CMD      0x64 /* read: status */
#define I8042_IRQ      1

#define STS_OBF	       0x01 /* output buffer full */
#define STS_SYS	       0x04 /* self test passed */
#define STS_A2	       0x08 /* last write was a command */
#define STS_UNLOCK     0x10 /* keyboard not locked by the key */
#define STS_AUX	       0x20 /* the byte is from the auxiliary port */
#define STS_TIMEOUT    0x40

#define CTR_KBD_INT    0x01
#define CTR_SYS	       0x04
#define CTR_KBD_DIS    0x10
#define CTR_AUX_DIS    0x20
#define CTR_RESET      (CTR_KBD_DIS | CTR_AUX_DIS)

#define OUT_RESET_N    0x01 /* output port P20: low resets */
#define OUT_A20	       0x02
#define OUT_RESET      (OUT_RESET_N | OUT_A20 | 0xcc)

#define I8042_RAM      32
#define KBD_NO_ANSWER  0xfe
#define SELF_TEST_OK   0x55
#define AUX_CLOCK_LOW  0x01 /* interface test: stuck, so nothing is there */
#define INPUT_UNLOCKED 0x80

enum i8042_data_for {
	DATA_KEYBOARD,
	DATA_RAM, /* index in `ram_index` */
	DATA_OUTPUT_PORT,
	DATA_ECHO, /* 0xD2, 0xD3: back to the output buffer */
	DATA_AUX,
};

struct i8042_regs {
	uint8_t ram[I8042_RAM]; /* 0: the command byte */
	uint8_t status;
	uint8_t out_buf;
	uint8_t out_port;
	uint8_t data_for; /* what the next write to 0x60 means */
	uint8_t ram_index;
	uint8_t pad[3];
};
static_assert(sizeof(struct i8042_regs) == 40, "snapshot format");

struct i8042 {
	struct vmctx *ctx;
	struct lock lock;
	struct irq_line line;
	struct i8042_regs regs;
};

static void
i8042_update_irq(struct i8042 *kbc)
{
	const struct i8042_regs *r = &kbc->regs;

	irq_line_set(&kbc->line, (r->status & (STS_OBF | STS_AUX)) == STS_OBF &&
				     (r->ram[0] & CTR_KBD_INT) != 0);
}

/* `flags`: STS_AUX, STS_TIMEOUT.  An unread byte is overwritten. */
static void
i8042_answer(struct i8042 *kbc, uint8_t byte, uint8_t flags)
{
	struct i8042_regs *r = &kbc->regs;

	/* Let an edge-triggered controller see a new byte as a new edge. */
	r->status &= ~(STS_OBF | STS_AUX | STS_TIMEOUT);
	i8042_update_irq(kbc);
	r->out_buf = byte;
	r->status |= STS_OBF | flags;
}

static void
i8042_write_out_port(struct i8042 *kbc, uint8_t val)
{
	kbc->regs.out_port = val;
	if ((val & OUT_RESET_N) == 0)
		vm_suspend(kbc->ctx, VM_SUSPEND_RESET);
}

static void
i8042_self_test(struct i8042 *kbc)
{
	kbc->regs.status |= STS_SYS;
	kbc->regs.ram[0] = CTR_RESET | CTR_SYS;
	i8042_answer(kbc, SELF_TEST_OK, 0);
}

static void
i8042_expect(struct i8042 *kbc, enum i8042_data_for what)
{
	kbc->regs.data_for = what;
}

/* Commands that are not one of a range. */
static void
i8042_single_command(struct i8042 *kbc, uint8_t cmd)
{
	struct i8042_regs *r = &kbc->regs;

	switch (cmd) {
	case 0xa7:
		r->ram[0] |= CTR_AUX_DIS;
		break;
	case 0xa8:
		r->ram[0] &= ~CTR_AUX_DIS;
		break;
	case 0xa9:
		i8042_answer(kbc, AUX_CLOCK_LOW, 0);
		break;
	case 0xaa:
		i8042_self_test(kbc);
		break;
	case 0xab: /* the lines are fine, only nobody is on them */
		i8042_answer(kbc, 0, 0);
		break;
	case 0xad:
		r->ram[0] |= CTR_KBD_DIS;
		break;
	case 0xae:
		r->ram[0] &= ~CTR_KBD_DIS;
		break;
	case 0xc0:
		i8042_answer(kbc, INPUT_UNLOCKED, 0);
		break;
	case 0xd0:
		i8042_answer(kbc, r->out_port, 0);
		break;
	case 0xd1:
		i8042_expect(kbc, DATA_OUTPUT_PORT);
		break;
	case 0xd2:
	case 0xd3: /* without the AUX flag: the sign of a one-port controller */
		i8042_expect(kbc, DATA_ECHO);
		break;
	case 0xd4:
		i8042_expect(kbc, DATA_AUX);
		break;
	case 0xdd:
		r->out_port &= ~OUT_A20;
		break;
	case 0xdf:
		r->out_port |= OUT_A20;
		break;
	case 0xe0: /* test inputs: clock and data low */
		i8042_answer(kbc, 0, 0);
		break;
	default:
		guest_error("i8042", "unknown command 0x%02x", cmd);
		break;
	}
}

static void
i8042_command(struct i8042 *kbc, uint8_t cmd)
{
	struct i8042_regs *r = &kbc->regs;

	r->status |= STS_A2;
	i8042_expect(kbc, DATA_KEYBOARD);
	if (cmd >= 0xf0) {
		/* Pulse the output lines whose bits are 0. */
		if ((cmd & OUT_RESET_N) == 0)
			vm_suspend(kbc->ctx, VM_SUSPEND_RESET);
	} else if (cmd >= 0x60 && cmd < 0x60 + I8042_RAM) {
		r->ram_index = cmd - 0x60;
		i8042_expect(kbc, DATA_RAM);
	} else if (cmd >= 0x20 && cmd < 0x20 + I8042_RAM) {
		i8042_answer(kbc, r->ram[cmd - 0x20], 0);
	} else {
		i8042_single_command(kbc, cmd);
	}
}

static void
i8042_data(struct i8042 *kbc, uint8_t val)
{
	struct i8042_regs *r = &kbc->regs;
	enum i8042_data_for what = r->data_for;

	r->status &= ~STS_A2;
	r->data_for = DATA_KEYBOARD;
	switch (what) {
	case DATA_RAM:
		r->ram[r->ram_index] = val;
		break;
	case DATA_OUTPUT_PORT:
		i8042_write_out_port(kbc, val);
		break;
	case DATA_ECHO:
		i8042_answer(kbc, val, 0);
		break;
	case DATA_AUX:
		i8042_answer(kbc, KBD_NO_ANSWER, STS_AUX | STS_TIMEOUT);
		break;
	case DATA_KEYBOARD:
		/* Sending to the keyboard also enables it. */
		r->ram[0] &= ~CTR_KBD_DIS;
		i8042_answer(kbc, KBD_NO_ANSWER, STS_TIMEOUT);
		break;
	}
}

static uint8_t
i8042_read_data(struct i8042 *kbc)
{
	kbc->regs.status &= ~(STS_OBF | STS_AUX | STS_TIMEOUT);
	return kbc->regs.out_buf; /* the last byte, when there is no new one */
}

static int
i8042_pio(struct vcpu *vcpu, bool in, uint16_t port, unsigned int bytes,
    uint32_t *val, void *arg)
{
	struct i8042 *kbc = arg;
	bool data = port == I8042_DATA;

	if (bytes != 1)
		return -1;
	if (in)
		*val = data ? i8042_read_data(kbc) : kbc->regs.status;
	else if (data)
		i8042_data(kbc, (uint8_t)*val);
	else
		i8042_command(kbc, (uint8_t)*val);
	i8042_update_irq(kbc);
	return 0;
}

static void
i8042_reset(void *arg)
{
	struct i8042 *kbc = arg;

	kbc->regs = (struct i8042_regs){
		.ram[0] = CTR_RESET,
		.status = STS_UNLOCK,
		.out_port = OUT_RESET,
	};
	i8042_update_irq(kbc);
}

static void
i8042_snapshot(void *arg, struct snap *s)
{
	struct i8042 *kbc = arg;
	struct i8042_regs r = kbc->regs;

	if (snap_bytes(s, "i8042", &r, sizeof(r)) != 0 || !snap_loading(s))
		return;
	if (r.data_for > DATA_AUX || r.ram_index >= I8042_RAM) {
		snap_fail(s);
		return;
	}
	kbc->regs = r;
	i8042_update_irq(kbc);
}

static void
i8042_free(struct i8042 *kbc)
{
	irq_line_set(&kbc->line, false);
	lock_fini(&kbc->lock);
	free(kbc);
}

static void
i8042_fini(void *arg)
{
	struct i8042 *kbc = arg;

	bus_pio_unregister(kbc->ctx, I8042_CMD, 1);
	bus_pio_unregister(kbc->ctx, I8042_DATA, 1);
	i8042_free(kbc);
}

static const struct chip_ops i8042_ops = {
	.name = "i8042",
	.reset = i8042_reset,
	.snapshot = i8042_snapshot,
	.fini = i8042_fini,
};

static int
i8042_register(struct i8042 *kbc)
{
	struct pio_range range = {
		.name = "i8042",
		.port = I8042_DATA,
		.len = 1,
		.fn = i8042_pio,
		.arg = kbc,
		.lock = &kbc->lock,
	};
	int error = bus_pio_register(kbc->ctx, &range);

	if (error != 0)
		return error;
	range.port = I8042_CMD;
	error = bus_pio_register(kbc->ctx, &range);
	if (error != 0)
		bus_pio_unregister(kbc->ctx, I8042_DATA, 1);
	return error;
}

int
i8042_create(struct vmctx *ctx)
{
	struct i8042 *kbc = xcalloc(1, sizeof(*kbc));
	int error;

	kbc->ctx = ctx;
	lock_init(&kbc->lock);
	irq_line_init(&kbc->line, ctx, I8042_IRQ);
	i8042_reset(kbc);
	error = i8042_register(kbc);
	if (error != 0) {
		i8042_free(kbc);
		return error;
	}
	chip_add(ctx, &i8042_ops, kbc, &kbc->lock);
	return 0;
}
