/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sock.h - listening TCP sockets, for what waits for one client.
 */
#ifndef BACKEND_SOCK_H
#define BACKEND_SOCK_H

#include <stddef.h>
#include <stdint.h>

#include <util/util.h>

/*
 * A non-blocking socket that listens on host (a name or an address of this
 * host) and port: its descriptor; -EINVAL when host is no address, or the
 * host's -errno, with one line in err.
 */
int sock_listen(
    const char *host, uint16_t port, char *err, size_t err_len) WARN_UNUSED;
/*
 * The next client of any listening stream socket, non-blocking, TCP_NODELAY
 * where that is known; -errno (-EAGAIN: none).
 */
int sock_accept(int listen_fd) WARN_UNUSED;

#endif /* BACKEND_SOCK_H */
