/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtio_ring.c - the ring walker and the transports' registers, under a
 * model that takes every chain, touches all of it and gives it back.
 */
#include "fuzz.h"

#include <string.h>

#include <virtio_probe.h>

#include "fuzz_virtio.h"

static void
serve(struct virtio_probe *p, unsigned int q)
{
	struct vq *vq = virtio_vq(&p->dev, q);
	struct iovec iov[16];
	struct vq_chain c;

	vq_kicks_off(vq);
	do {
		while (vq_pop(vq, iov, ARRAY_LEN(iov), &c) == 1) {
			uint32_t done = 0;

			for (unsigned int i = 0; i < c.niov; i++) {
				if (i < c.niov_out) {
					(void)*(volatile uint8_t *)iov[i]
					    .iov_base;
					continue;
				}
				memset(iov[i].iov_base, 0x5a, iov[i].iov_len);
				done += (uint32_t)iov[i].iov_len;
			}
			/* Every third one is thought over. */
			if (p->notified[q] % 3 == 2) {
				vq_unpop(vq, 1);
				break;
			}
			vq_push(vq, &c, done);
		}
		p->notified[q]++;
	} while (vq_kicks_on(vq) && p->notified[q] % 3 != 0);
	vq_notify(vq);
}

static void
ready(void)
{
	virtio_probe->on_notify = serve;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct fuzz_virtio f = {
		.ops = &virtio_probe_ops,
		.nqueues = PROBE_NQUEUES,
		.ready = ready,
	};

	fuzz_virtio(&f, data, size);
	return 0;
}
