/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahci_host.h - a small AHCI driver: what the tests of src/dev/ahci drive the
 * controller with.  It works on the fake core and block backend.
 */
#ifndef TESTS_DEV_AHCI_HOST_H
#define TESTS_DEV_AHCI_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ahci_regs.h"
#include "fake_block.h"
#include "fake_pci.h"

/* Where things lie in guest memory, for each port. */
#define HOST_PORT_MEM(n) (0x10000u * (n))
#define HOST_CLB	 0x1000u
#define HOST_FB		 0x2000u
#define HOST_TABLES	 0x4000u /* 32 of 0x400 bytes: 56 PRDs each */
#define HOST_TABLE_STEP	 0x400u
#define HOST_DATA	 0x80000u /* of all ports, half the memory */

struct host {
	struct pci_dev *pd;
	unsigned int port;
	struct fake_disk *disk;
	unsigned int nprd[AHCI_NSLOTS];
};

extern const struct pci_dev_ops ahci_ops, ahci_hd_ops, ahci_cd_ops;

/* First thing in main(): guests are wrong here on purpose, their log is noise.
 */
void host_quiet(void);

/* A controller with one disk "d" or one CD "c" of so many bytes. */
void host_disk(struct host *, uint64_t bytes);
void host_cd(struct host *, uint64_t bytes);
/* With these settings; the disks exist already. */
void host_open(
    struct host *, const struct pci_dev_ops *, const struct fake_pci_opt *opts);
void host_close(struct host *);

uint32_t host_generic(struct host *, unsigned int reg);
void host_set_generic(struct host *, unsigned int reg, uint32_t val);
uint32_t host_reg(struct host *, unsigned int reg);
void host_set(struct host *, unsigned int reg, uint32_t val);
/* Command list, FIS area, FRE and ST; all interrupts of the port. */
void host_start(struct host *);
/* After an error: ST off and on, PxIS and PxSERR cleared. */
void host_restart(struct host *);
void host_comreset(struct host *);

/* A command in a slot: header and FIS; then its PRDs; then PxCI. */
void host_command(struct host *, unsigned int slot, uint16_t flags,
    const struct fis_reg_h2d *);
void host_prd(struct host *, unsigned int slot, uint64_t gpa, uint32_t len);
void host_packet(struct host *, unsigned int slot, const uint8_t acmd[16]);
void host_issue(struct host *, unsigned int slot);
uint8_t *host_mem(struct host *, uint64_t gpa);
struct ahci_cmd_hdr *host_hdr(struct host *, unsigned int slot);
uint8_t *host_rfis(struct host *, unsigned int off);

/* An ATA command with its LBA and count, 48-bit. */
struct fis_reg_h2d host_fis(uint8_t command, uint64_t lba, uint16_t count);
/* A queued one. */
struct fis_reg_h2d
host_fpdma(uint8_t command, unsigned int tag, uint64_t lba, uint16_t count);

/*
 * In slot 0, with `len` bytes of memory at HOST_DATA, to its end.  True when it
 * succeeded; after a failure the port has been restarted, and *tfd, when not
 * NULL, tells what it said.
 */
bool host_run(struct host *, const struct fis_reg_h2d *, uint16_t flags,
    uint32_t len, uint32_t *tfd);
/* A packet command by DMA; sense key and ASC of a failure. */
bool host_atapi(
    struct host *, const uint8_t acmd[16], uint32_t len, uint32_t *sense);

#endif /* TESTS_DEV_AHCI_HOST_H */
