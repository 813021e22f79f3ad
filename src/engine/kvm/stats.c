/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.c - what the kernel counts about a vCPU (the API, 4.133
 * KVM_GET_STATS_FD), under our names.
 *
 * The file is self-describing: a header, one descriptor a counter, the data.
 * The descriptors, which all vCPUs share, are read when the first is made; the
 * counters when somebody asks, by any thread, with one read(2).  Exits that the
 * kernel handles by itself are seen nowhere else.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define DESC_MAX 4096u /* of a counter, in bytes, and of their number */
#define DATA_MAX 65536u

static const struct {
	const char *kernel;
	enum vm_stat stat;
} name_table[] = {
	{ "exits", VMSTAT_VMEXIT_COUNT },
	{ "irq_exits", VMSTAT_VMEXIT_EXTINT },
	{ "halt_exits", VMSTAT_VMEXIT_HLT },
	{ "irq_window_exits", VMSTAT_VMEXIT_INTR_WINDOW },
	{ "nmi_window_exits", VMSTAT_VMEXIT_NMI_WINDOW },
	{ "io_exits", VMSTAT_VMEXIT_INOUT },
	{ "pf_taken", VMSTAT_VMEXIT_NESTED_FAULT },
	{ "insn_emulation", VMSTAT_VMEXIT_MMIO },
	{ "halt_wait_ns", VMSTAT_IDLE_NS },
	{ "nmi_injections", VMSTAT_NMIS_DELIVERED },
	{ "irq_injections", VMSTAT_IRQS_DELIVERED },
};

struct kvm_stats {
	uint64_t have; /* bit n: vm_stat n */
	off_t data;
	size_t data_bytes;
	uint32_t off[VMSTAT_COUNT_]; /* into the data */
};
_Static_assert(VMSTAT_COUNT_ <= 64, "struct kvm_stats.have");

static void
note(struct kvm_stats *s, const struct kvm_stats_desc *d)
{
	for (size_t i = 0; i < ARRAY_LEN(name_table); i++) {
		enum vm_stat stat = name_table[i].stat;

		if (strcmp(name_table[i].kernel, d->name) != 0)
			continue;
		s->have |= BIT64(stat);
		s->off[stat] = d->offset;
		s->data_bytes =
		    MAX(s->data_bytes, d->offset + sizeof(uint64_t));
	}
}

static int
read_all(int fd, void *buf, size_t bytes, off_t off)
{
	ssize_t n = pread(fd, buf, bytes, off);

	if (n < 0)
		return -errno;
	return (size_t)n == bytes ? 0 : -EIO;
}

static int
read_descriptors(int fd, struct kvm_stats *s)
{
	struct kvm_stats_header h;
	size_t bytes;
	char *desc;
	int err = read_all(fd, &h, sizeof(h), 0);

	if (err != 0)
		return err;
	bytes = sizeof(struct kvm_stats_desc) + h.name_size;
	if (h.name_size == 0 || h.name_size > DESC_MAX || h.num_desc > DESC_MAX)
		return -EINVAL;
	desc = malloc(bytes);
	if (desc == NULL)
		return -ENOMEM;
	s->data = h.data_offset;
	for (uint32_t i = 0; i < h.num_desc && err == 0; i++) {
		err = read_all(
		    fd, desc, bytes, (off_t)(h.desc_offset + i * bytes));
		desc[bytes - 1] = '\0';
		if (err == 0)
			note(s, (const struct kvm_stats_desc *)desc);
	}
	free(desc);
	return err != 0 || s->data_bytes <= DATA_MAX ? err : -EINVAL;
}

void
kvm_stats_open(struct kvm_cpu *k)
{
	struct kvm_stats *s;

	if (!k->vm->has.binary_stats)
		return;
	k->stats_fd = kvm_ioctl(k->fd, KVM_GET_STATS_FD, NULL);
	if (k->stats_fd < 0 || k->vm->stats != NULL)
		return;
	s = calloc(1, sizeof(*s));
	if (s != NULL && read_descriptors(k->stats_fd, s) == 0)
		k->vm->stats = s;
	else
		free(s);
}

void
kvm_stats_close(struct kvm_cpu *k)
{
	if (k->stats_fd >= 0)
		close(k->stats_fd);
	k->stats_fd = -1;
}

uint64_t
kvm_vcpu_stats(struct vcpu *vcpu, uint64_t *val)
{
	const struct kvm_cpu *k = kvm_cpu_of(vcpu);
	const struct kvm_stats *s = k->vm->stats;
	uint64_t have = 0;
	uint8_t *data;

	if (s == NULL || k->stats_fd < 0)
		return 0;
	data = malloc(s->data_bytes);
	if (data != NULL &&
	    read_all(k->stats_fd, data, s->data_bytes, s->data) == 0)
		have = s->have;
	for (unsigned int i = 0; i < VMSTAT_COUNT_; i++)
		if (have & BIT64(i))
			memcpy(&val[i], data + s->off[i], sizeof(val[i]));
	free(data);
	return have;
}
