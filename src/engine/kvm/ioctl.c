/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl.c - the one place where this engine talks to the kernel.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <sys/ioctl.h>

int
kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR && request != KVM_RUN);
	return ret < 0 ? -errno : ret;
}

int
kvm_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	return kvm_ioctl(fd, request, (void *)arg);
}
