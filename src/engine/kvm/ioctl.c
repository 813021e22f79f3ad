/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl.c - the one place where this engine talks to the kernel, and where its
 * refusals get their names.
 */
#include "kvm_priv.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <util/log.h>

/* A request that fails over and over is said now and then. */
static struct request {
	unsigned long number;
	const char *name;
	struct log_ratelimit said;
} request_table[] = {
#define REQUEST(name)                                                          \
	{                                                                      \
		name, #name,                                                   \
		{                                                              \
			0                                                      \
		}                                                              \
	}
	/* clang-format off */
	REQUEST(KVM_GET_API_VERSION),
	REQUEST(KVM_CREATE_VM),
	REQUEST(KVM_GET_MSR_INDEX_LIST),
	REQUEST(KVM_CHECK_EXTENSION),
	REQUEST(KVM_GET_VCPU_MMAP_SIZE),
	REQUEST(KVM_GET_SUPPORTED_CPUID),
	REQUEST(KVM_ENABLE_CAP),
	REQUEST(KVM_SET_TSS_ADDR),
	REQUEST(KVM_SET_IDENTITY_MAP_ADDR),
	REQUEST(KVM_CREATE_IRQCHIP),
	REQUEST(KVM_CREATE_PIT2),
	REQUEST(KVM_SET_GSI_ROUTING),
	REQUEST(KVM_IRQ_LINE),
	REQUEST(KVM_SIGNAL_MSI),
	REQUEST(KVM_IRQFD),
	REQUEST(KVM_IOEVENTFD),
	REQUEST(KVM_REGISTER_COALESCED_MMIO),
	REQUEST(KVM_UNREGISTER_COALESCED_MMIO),
	REQUEST(KVM_GET_DIRTY_LOG),
	REQUEST(KVM_CLEAR_DIRTY_LOG),
	REQUEST(KVM_X86_SET_MSR_FILTER),
	REQUEST(KVM_GET_STATS_FD),
	REQUEST(KVM_SET_USER_MEMORY_REGION),
	REQUEST(KVM_GET_IRQCHIP),
	REQUEST(KVM_SET_IRQCHIP),
	REQUEST(KVM_GET_PIT2),
	REQUEST(KVM_SET_PIT2),
	REQUEST(KVM_GET_CLOCK),
	REQUEST(KVM_SET_CLOCK),
	REQUEST(KVM_CREATE_VCPU),
	REQUEST(KVM_RUN),
	REQUEST(KVM_SET_CPUID2),
	REQUEST(KVM_GET_CPUID2),
	REQUEST(KVM_GET_TSC_KHZ),
	REQUEST(KVM_SET_TSC_KHZ),
	REQUEST(KVM_GET_REGS),
	REQUEST(KVM_SET_REGS),
	REQUEST(KVM_GET_SREGS),
	REQUEST(KVM_SET_SREGS),
	REQUEST(KVM_GET_SREGS2),
	REQUEST(KVM_SET_SREGS2),
	REQUEST(KVM_GET_MSRS),
	REQUEST(KVM_SET_MSRS),
	REQUEST(KVM_GET_XSAVE),
	REQUEST(KVM_SET_XSAVE),
	REQUEST(KVM_GET_XCRS),
	REQUEST(KVM_SET_XCRS),
	REQUEST(KVM_GET_LAPIC),
	REQUEST(KVM_SET_LAPIC),
	REQUEST(KVM_GET_MP_STATE),
	REQUEST(KVM_SET_MP_STATE),
	REQUEST(KVM_GET_VCPU_EVENTS),
	REQUEST(KVM_SET_VCPU_EVENTS),
	REQUEST(KVM_GET_DEBUGREGS),
	REQUEST(KVM_SET_DEBUGREGS),
	REQUEST(KVM_SET_GUEST_DEBUG),
	REQUEST(KVM_TRANSLATE),
	REQUEST(KVM_INTERRUPT),
	REQUEST(KVM_NMI),
	REQUEST(KVM_GET_DEVICE_ATTR),
	REQUEST(KVM_SET_DEVICE_ATTR),
	REQUEST(KVM_SMI),
	/* clang-format on */
};

static struct request *
find(unsigned long number)
{
	for (size_t i = 0; i < ARRAY_LEN(request_table); i++)
		if (request_table[i].number == number)
			return &request_table[i];
	return NULL;
}

/* The thread's last failure, for those who put it into a line of their own. */
static __thread const char *failed = "KVM";

const char *
kvm_failed_name(void)
{
	return failed;
}

static const char *
name_of(unsigned long request)
{
	const struct request *r = find(request);

	return r != NULL ? r->name : "a request without a name";
}

static void
say(unsigned long request, int err)
{
	static struct log_ratelimit unnamed;
	struct request *r = find(request);

	if (log_ratelimit_ok(r != NULL ? &r->said : &unnamed))
		log_error("kvm: %s: %s", name_of(request), strerror(-err));
}

int
kvm_try(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR && request != KVM_RUN);
	if (likely(ret >= 0))
		return ret;
	ret = -errno;
	failed = name_of(request);
	return ret;
}

int
kvm_enter(int fd)
{
	int err;

	if (likely(ioctl(fd, KVM_RUN, NULL) >= 0))
		return 0;
	err = -errno;
	if (err != -EINTR && err != -EAGAIN)
		say(KVM_RUN, err);
	return err;
}

int
kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = kvm_try(fd, request, arg);

	if (unlikely(ret < 0))
		say(request, ret);
	return ret;
}

int
kvm_try_val(int fd, unsigned long request, unsigned long arg)
{
	return kvm_try(fd, request, (void *)arg);
}

int
kvm_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	return kvm_ioctl(fd, request, (void *)arg);
}

struct kvm_run *
kvm_map_run(int fd, size_t bytes)
{
	struct kvm_run *run =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (run == MAP_FAILED)
		failed = "mmap of the area shared with the kernel";
	return run;
}
