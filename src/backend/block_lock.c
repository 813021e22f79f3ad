/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lock on an image: an open-file-description lock (fcntl(2), F_OFD_SETLK)
 * over the whole file, shared for readers, exclusive for a writer.  It belongs
 * to the open file, so two disks of one machine exclude each other too, and the
 * kernel drops it however the process ends.
 *
 * The kernel does not say who has such a lock (the PID is -1), but
 * /proc/PID/fdinfo/FD shows the locks of each open file: the holder is looked
 * up there as far as we may look.
 */
#include "block_priv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <util/log.h>

#define BLOCK_NAME_LEN 64

/* The first bytes of a small file of /proc; "" when it cannot be read. */
static size_t
block_proc_read(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, buf, len - 1);

	if (fd != -1)
		close(fd);
	n = MAX(n, 0);
	buf[n] = '\0';
	return (size_t)n;
}

/* This descriptor of this process is the same file, and has it locked. */
static bool
block_fd_holds(const char *pid, const char *fd, const struct stat *image)
{
	char path[600], info[1024];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, fd);
	if (stat(path, &st) != 0 || st.st_dev != image->st_dev ||
	    st.st_ino != image->st_ino)
		return false;
	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	block_proc_read(path, info, sizeof(info));
	return strstr(info, "OFDLCK") != NULL;
}

static bool
block_pid_holds(const char *pid, const struct stat *image)
{
	char path[300];
	struct dirent *d;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return false;
	while (!found && (d = readdir(dir)) != NULL)
		found = isdigit((unsigned char)d->d_name[0]) &&
			block_fd_holds(pid, d->d_name, image);
	closedir(dir);
	return found;
}

/* 0: not found. */
static pid_t
block_find_holder(int fd)
{
	struct dirent *d;
	struct stat image;
	pid_t pid = 0;
	DIR *dir;

	if (fstat(fd, &image) != 0 || (dir = opendir("/proc")) == NULL)
		return 0;
	while (pid == 0 && (d = readdir(dir)) != NULL)
		if (isdigit((unsigned char)d->d_name[0]) &&
		    block_pid_holds(d->d_name, &image))
			pid = (pid_t)atoi(d->d_name);
	closedir(dir);
	return pid;
}

/* What ps shows: a machine's is "bhyve: NAME". */
static void
block_process_name(pid_t pid, char name[BLOCK_NAME_LEN])
{
	char path[64];
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	n = block_proc_read(path, name, BLOCK_NAME_LEN);
	while (n > 0 && name[n - 1] == '\0')
		n--;
	for (size_t i = 0; i < n; i++)
		if (!isprint((unsigned char)name[i]))
			name[i] = ' ';
}

static int
block_lock_refused(
    int fd, bool exclusive, const char *path, char *err, size_t err_len)
{
	const char *hint = exclusive ? "" : " for writing";
	char name[BLOCK_NAME_LEN];
	pid_t pid = block_find_holder(fd);

	if (pid == 0) {
		snprintf(err, err_len,
		    "%s: in use%s by a process that cannot be seen from here",
		    path, hint);
	} else if (pid == getpid()) {
		snprintf(err, err_len,
		    "%s: in use%s by another disk of this machine", path, hint);
	} else {
		block_process_name(pid, name);
		snprintf(err, err_len, "%s: in use%s by process %d (%s)", path,
		    hint, (int)pid, name);
	}
	return -EBUSY;
}

int
block_lock_image(
    int fd, bool exclusive, const char *path, char *err, size_t err_len)
{
	struct flock fl = {
		.l_type = exclusive ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
	};

	if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return block_lock_refused(fd, exclusive, path, err, err_len);
	/* Some network file systems have no locks. */
	log_debug("%s: cannot be locked: %s", path, strerror(errno));
	return 0;
}
