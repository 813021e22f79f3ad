/* SPDX-License-Identifier: BSD-2-Clause */
#include "step.h"

#include <errno.h>

int
kvm_step(struct kvm_cpu *k, struct vm_exit *x)
{
	return -ENOTSUP;
}

void
kvm_step_free(struct kvm_cpu *k)
{
}
