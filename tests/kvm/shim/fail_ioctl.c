/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fail_ioctl.c - for LD_PRELOAD: a /dev/kvm that refuses what a test wants.
 *
 * The environment says what (numbers in C's notation):
 *	KVM_SHIM_LOG=FILE	append each request's number, up to 40 times
 *	KVM_SHIM_FAIL=REQ,N,ERRNO  the Nth call of that ioctl fails
 *	KVM_SHIM_MMAP=BYTES,ERRNO,N  the Nth mmap of that size fails; 0: of a
 *vCPU KVM_SHIM_CALLOC=REQ	the thread's next calloc after that ioctl fails
 *	KVM_SHIM_CAP=CAP,VALUE[;...]  what KVM_CHECK_EXTENSION answers
 *	KVM_SHIM_RUN_NS=N	KVM_RUN takes so long
 *	KVM_SHIM_OPEN=ERRNO	/dev/kvm does not open
 *	KVM_SHIM_FAKE=VERSION	/dev/kvm is there and has all capabilities, but
 *can do no more than what probing its speed takes
 */
/* Both names of open and mmap are ours to define. */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define IS_KVM(req) (((req) >> 8 & 0xff) == KVMIO)
#define RUN_BYTES   4096
#define NOTED_CALLS 40

static atomic_uint fake_fds[1024]; /* by descriptor: 1, and 2 for a vCPU */
static __thread bool calloc_fails;

/* The n-th number of the variable's list, or `none`. */
static unsigned long
setting(const char *name, unsigned int n, unsigned long none)
{
	const char *s = getenv(name);

	for (; s != NULL && n > 0; n--) {
		s = strchr(s, ',');
		s = s != NULL ? s + 1 : NULL;
	}
	return s != NULL && *s != '\0' ? strtoul(s, NULL, 0) : none;
}

static void
note(unsigned long req)
{
	const char *path = getenv("KVM_SHIM_LOG");
	char line[32];
	int fd, len;

	if (path == NULL)
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	len = snprintf(line, sizeof(line), "%#lx\n", req);
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

/* --- a device of our own -------------------------------------------------- */

static int
fake_fd(unsigned int kind)
{
	int fd = memfd_create("fake-kvm", MFD_CLOEXEC);

	if (fd < 0 || fd >= 1024 || ftruncate(fd, RUN_BYTES) != 0)
		abort();
	fake_fds[fd] = kind;
	return fd;
}

/* As if the guest had come to its OUT. */
static int
fake_run(int fd)
{
	uint32_t reason = KVM_EXIT_IO;

	return pwrite(fd, &reason, sizeof(reason),
		   offsetof(struct kvm_run, exit_reason)) == sizeof(reason)
		   ? 0
		   : -1;
}

static int
fake_ioctl(int fd, unsigned long req)
{
	switch (req) {
	case KVM_GET_API_VERSION:
		return (int)setting("KVM_SHIM_FAKE", 0, 0);
	case KVM_CHECK_EXTENSION:
		return 1;
	case KVM_CREATE_VM:
		return fake_fd(1);
	case KVM_CREATE_VCPU:
		return fake_fd(2);
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_BYTES;
	case KVM_RUN:
		return fake_run(fd);
	case KVM_SET_TSS_ADDR:
	case KVM_SET_USER_MEMORY_REGION:
	case KVM_GET_SREGS:
	case KVM_SET_SREGS:
	case KVM_SET_REGS:
		return 0;
	default:
		errno = ENOTTY;
		return -1;
	}
}

static bool
is_fake(int fd)
{
	return fd >= 0 && fd < 1024 && fake_fds[fd] != 0;
}

/* --- what is refused ------------------------------------------------------ */

static bool
extension_is_set(unsigned long cap, int *ret)
{
	const char *s = getenv("KVM_SHIM_CAP");

	for (; s != NULL; s = strchr(s, ';'), s = s != NULL ? s + 1 : NULL) {
		char *end;

		if (strtoul(s, &end, 0) != cap || *end != ',')
			continue;
		*ret = (int)strtol(end + 1, NULL, 0);
		return true;
	}
	return false;
}

/* Numbers alone are not unique: KVM_SIGNAL_MSI has KVM_SET_XSAVE's. */
static unsigned int
count_call(unsigned long req)
{
	static struct {
		_Atomic unsigned long req;
		atomic_uint calls;
	} table[128];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		unsigned long none = 0;

		if (atomic_compare_exchange_strong(&table[i].req, &none, req) ||
		    none == req)
			return atomic_fetch_add(&table[i].calls, 1) + 1;
	}
	abort();
}

static bool
refused(unsigned long req, int *ret)
{
	unsigned int n = count_call(req);

	if (n <= NOTED_CALLS)
		note(req);
	if (setting("KVM_SHIM_FAIL", 0, 0) != req ||
	    setting("KVM_SHIM_FAIL", 1, 0) != n)
		return false;
	errno = (int)setting("KVM_SHIM_FAIL", 2, EIO);
	*ret = -1;
	return true;
}

static void
slow_down(void)
{
	unsigned long ns = setting("KVM_SHIM_RUN_NS", 0, 0);
	struct timespec t = { .tv_nsec = (long)ns };

	if (ns != 0)
		nanosleep(&t, NULL);
}

int
ioctl(int fd, unsigned long req, ...)
{
	static int (*next)(int, unsigned long, void *);
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, req);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (next == NULL)
		next = dlsym(RTLD_NEXT, "ioctl");
	if (!IS_KVM(req))
		return next(fd, req, arg);
	if (refused(req, &ret))
		return ret;
	if (req == setting("KVM_SHIM_CALLOC", 0, 0))
		calloc_fails = true;
	if (req == KVM_CHECK_EXTENSION &&
	    extension_is_set((unsigned long)arg, &ret))
		return ret;
	if (req == KVM_RUN)
		slow_down();
	return is_fake(fd) ? fake_ioctl(fd, req) : next(fd, req, arg);
}

/* --- what else may fail --------------------------------------------------- */

extern void *__libc_calloc(size_t, size_t);

void *
calloc(size_t n, size_t size)
{
	if (calloc_fails) {
		calloc_fails = false;
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(n, size);
}

static bool
is_vcpu(int fd)
{
	char path[32], to[64];
	ssize_t n;

	if (fd < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, to, sizeof(to) - 1);
	to[n > 0 ? n : 0] = '\0';
	return strstr(to, "kvm-vcpu") != NULL;
}

static void *
do_mmap(const char *name, void *addr, size_t len, int prot, int flags, int fd,
    off_t off)
{
	void *(*next)(void *, size_t, int, int, int, off_t) =
	    dlsym(RTLD_NEXT, name);
	unsigned long bytes = setting("KVM_SHIM_MMAP", 0, 1);
	static atomic_uint met;

	if ((bytes == len || (bytes == 0 && is_vcpu(fd))) &&
	    atomic_fetch_add(&met, 1) + 1 == setting("KVM_SHIM_MMAP", 2, 1)) {
		errno = (int)setting("KVM_SHIM_MMAP", 1, ENOMEM);
		return MAP_FAILED;
	}
	return next(addr, len, prot, flags, fd, off);
}

void *
mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return do_mmap("mmap", addr, len, prot, flags, fd, off);
}

void *
mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	return do_mmap("mmap64", addr, len, prot, flags, fd, off);
}

static int
do_open(const char *name, const char *path, int flags, mode_t mode)
{
	int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, name);

	if (strcmp(path, "/dev/kvm") != 0)
		return next(path, flags, mode);
	if (setting("KVM_SHIM_FAKE", 0, 0) != 0)
		return fake_fd(1);
	errno = (int)setting("KVM_SHIM_OPEN", 0, 0);
	return errno != 0 ? -1 : next(path, flags, mode);
}

#define OPEN(name)                                                             \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		va_list ap;                                                    \
		mode_t mode;                                                   \
                                                                               \
		va_start(ap, flags);                                           \
		mode = (flags & (O_CREAT | __O_TMPFILE)) != 0                  \
			   ? va_arg(ap, mode_t)                                \
			   : 0;                                                \
		va_end(ap);                                                    \
		return do_open(#name, path, flags, mode);                      \
	}
OPEN(open)
OPEN(open64)
