/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahci_priv.h - what the parts of the SATA controller share.
 *
 * ahci.c	   the PCI function: life, generic registers, interrupts
 * ahci_conf.c	   settings of ports
 * ahci_port.c	   a port's registers and its link: resets, start and stop
 * ahci_cmd.c	   commands: fetched, ended, cancelled; the FISes of both
 * ahci_sg.c	   guest memory through a command's PRD table
 * ahci_xfer.c	   data between PRD table and backend
 * ata.c	   ATA commands;  ata_identify.c, ata_log.c, ata_dsm.c: of them
 * atapi.c	   packet commands;  atapi_mmc.c: what a CD drive tells of
 * itself
 *
 * All run with the device's lock held: in a vCPU's thread for registers, in a
 * thread of the backend when a request is done.
 */
#ifndef DEV_AHCI_PRIV_H
#define DEV_AHCI_PRIV_H

#include <backend/block.h>
#include <vmm/pci.h>

#include "ahci_regs.h"

struct ahci;
struct ahci_port;
struct ahci_cmd;

/* --- state ---------------------------------------------------------------- */

/* A port as the guest sees it; what a snapshot holds. */
struct ahci_port_regs {
	uint32_t clb, clbu, fb, fbu;
	uint32_t is; /* without the bits that follow serr */
	uint32_t ie;
	uint32_t cmd; /* FR, CR, CPS are made on reading */
	uint32_t tfd, sig, ssts, sctl, serr, sact, ci, sntf;
	uint32_t ccs;
	uint32_t issued;      /* slots the device has, queued or not */
	uint32_t fatal;	      /* no command is fetched until ST goes to 0 */
	uint32_t sig_pending; /* a signature FIS waits for FRE */
};
static_assert(sizeof(struct ahci_port_regs) == 19 * 4, "snapshot format");

enum ata_power { ATA_ACTIVE, ATA_IDLE, ATA_STANDBY, ATA_SLEEP, ATA_NPOWER };

/* A device behind a port, likewise. */
struct ata_state {
	uint8_t power;
	uint8_t mult;	   /* sectors a block of READ MULTIPLE; 0: not set */
	uint8_t xfer_mode; /* as SET FEATURES 03h gave it */
	uint8_t wcache;	   /* 0: writes are on the disk when they are done */
	uint8_t lookahead;
	uint8_t srst;	    /* held in software reset */
	uint8_t ncq_halted; /* an NCQ command failed, nobody asked which */
	uint8_t notify;	    /* asynchronous notification enabled */
	/* Sense data and unit attention of the ATAPI device. */
	uint8_t sense_key, asc, ascq;
	uint8_t ua_asc; /* 0: none */
	uint8_t tray_open, locked;
	uint8_t event; /* MMC media event nobody asked for yet */
	uint8_t reserved;
	uint8_t ncq_log[16]; /* head of the NCQ error log */
};
static_assert(sizeof(struct ata_state) == 32, "snapshot format");

#define AHCI_NCMDS 64u /* a port's: 32 slots, and 32 cancelled */

struct ahci_port {
	struct ahci *hba;
	unsigned int num;
	bool present, atapi;
	struct blockdev *bdev;
	const struct block_info *info;
	uint16_t nmrr; /* rotation rate, word 217 */
	char ser[21], rev[9], model[41];

	struct ahci_port_regs regs;
	struct ata_state dev;

	struct ahci_cmd *cmds;		    /* AHCI_NCMDS */
	uint64_t free_cmds;		    /* of them */
	struct ahci_cmd *slot[AHCI_NSLOTS]; /* at work */
	uint32_t reissue; /* of issued: to be started again after a pause */
	struct ahci_cmd *waiting; /* for all others to leave the backend */
};

struct ahci {
	struct pci_dev *pd;
	uint32_t cap, pi, ghc, is;
	bool paused;
	struct ahci_port port[AHCI_NPORTS];
};

/* --- commands ------------------------------------------------------------- */

#define AHCI_SG_MAX    128u
#define AHCI_PRD_BATCH 16u

/*
 * Guest memory a command may touch next.  PRDs are read once, in order; what
 * is mapped and not yet used waits in iov.
 */
struct ahci_sg {
	uint64_t table;	   /* gpa of the next PRDs to read */
	uint32_t left;	   /* entries not yet read */
	unsigned int i, n; /* of prd */
	unsigned int niov;
	uint64_t bytes;	   /* sum of iov */
	struct iovec rest; /* cut off the last iov of a block request */
	unsigned int used; /* iovs of the block request */
	struct ahci_prd prd[AHCI_PRD_BATCH];
	struct iovec iov[AHCI_SG_MAX];
};

enum sg_status {
	SG_OK,
	SG_SHORT, /* the PRDs are too small */
	SG_FAULT, /* a PRD does not point to RAM */
};

enum ahci_proto { /* which FISes tell the end */
	AHCI_D2H,
	AHCI_PIO_IN,
	AHCI_NCQ,
};

struct ahci_cmd {
	struct block_req req;
	struct ahci_port *port;
	unsigned int slot;
	bool cancelled; /* the port has forgotten it; the backend has not */
	bool reused;	/* its slot was another command's still */
	enum ahci_proto proto;
	uint16_t flags; /* of the command header */
	struct fis_reg_h2d fis;
	uint8_t acmd[ACMD_BYTES];
	struct fis_reg_d2h out; /* LBA, device, count at the end */
	uint32_t moved;		/* bytes through PRDs */
	bool prd_intr;		/* a PRD asked for an interrupt */
	uint8_t error;		/* register, of a command that fails */
	struct ahci_sg sg;

	/* When it is the only one left. */
	void (*alone)(struct ahci_cmd *);
	/* After a block request. */
	void (*step)(struct ahci_cmd *, int error);

	/* Media transfer: ahci_xfer.c. */
	enum ahci_xfer { AHCI_XFER_READ, AHCI_XFER_WRITE, AHCI_XFER_VERIFY } op;
	uint64_t off, left; /* bytes */
	uint32_t chunk;	    /* of the request under way */
	uint32_t unit;	    /* a sector */
	bool fua;
	/* 0, -errno: the medium failed at `off`. */
	void (*end)(struct ahci_cmd *, int error);
	uint8_t *buf; /* sectors in pieces, TRIM ranges */
	struct iovec buf_iov;

	unsigned int range, nranges; /* TRIM */
};

/* --- ahci_conf.c ---------------------------------------------------------- */

extern const struct pci_opt ahci_opts[];
int ahci_conf_parse(
    struct conf *, const char *node, char *words, char *err, size_t err_len);
int ahci_conf_parse_hd(
    struct conf *, const char *node, char *words, char *err, size_t err_len);
int ahci_conf_parse_cd(
    struct conf *, const char *node, char *words, char *err, size_t err_len);
/*
 * Opens the port's medium, if it has one.  `type` is that of ports that say
 * none; not NULL: port 0 must have a medium.
 */
int
ahci_conf_port(struct ahci_port *, const char *type, char *err, size_t err_len);

/* -EINVAL for settings of ports there cannot be. */
int ahci_conf_no_more(struct pci_dev *, char *err, size_t err_len);

/* --- ahci.c --------------------------------------------------------------- */

/* After PxIS, PxIE or PxSERR changed.  `again`: message what already stands. */
void ahci_irq(struct ahci *, bool again);

/* --- ahci_port.c ---------------------------------------------------------- */

/* hard: all registers; else those GHC.HR spares stay (AHCI 10.4.3). */
void ahci_port_reset(struct ahci_port *, bool hard);
uint32_t ahci_port_is(const struct ahci_port *);
uint32_t ahci_port_read(struct ahci_port *, unsigned int off);
void ahci_port_write(
    struct ahci_port *, unsigned int off, unsigned int bytes, uint32_t val);
void ahci_port_snapshot(struct ahci_port *, struct snap *);

/* --- ahci_cmd.c ----------------------------------------------------------- */

/* Fetches and starts what can be. */
void ahci_run(struct ahci_port *);
/*
 * The device forgets all commands and lets go of their memory; what the
 * registers say of them stays.  Waits for the backend: not from its threads.
 */
void ahci_cancel(struct ahci_port *);
/* The HBA stops: PxIS bit `why`. */
void ahci_fatal(struct ahci_port *, uint32_t why, uint32_t serr);
void ahci_post_signature(struct ahci_port *);
void ahci_fill_signature(const struct ahci_port *, struct fis_reg_d2h *);

/* Each ends the command: `cmd` is gone. */
void ahci_done(struct ahci_cmd *);
void ahci_fail(struct ahci_cmd *, uint8_t error);
void ahci_fault(struct ahci_cmd *, enum sg_status);
/* Success with the diagnostic code "passed" (ACS-2 7.13.5). */
void ahci_diagnosed(struct ahci_cmd *);
/* The device does not answer until it is reset. */
void ahci_hang(struct ahci_cmd *);
/* Data-in that is at hand, then the end. */
void ahci_reply(struct ahci_cmd *, const void *buf, size_t len);

void
ahci_post_pio_setup(struct ahci_cmd *, bool in, uint8_t status, uint32_t bytes);
void ahci_submit(struct ahci_cmd *, enum block_op, uint64_t off, uint64_t len,
    const struct iovec *, unsigned int niov,
    void (*step)(struct ahci_cmd *, int error));

/* --- ahci_sg.c ------------------------------------------------------------ */

void ahci_sg_init(struct ahci_sg *, uint64_t table, uint32_t entries);
/* Maps until `want` bytes are there or iov is full; SG_SHORT: fewer exist. */
enum sg_status ahci_sg_fill(struct ahci_cmd *, uint64_t want) WARN_UNUSED;
/* The first `len` <= sg.bytes bytes as an iovec of `used` entries ... */
void ahci_sg_take(struct ahci_sg *, uint64_t len);
/* ... and done with them; in: the guest's memory was written. */
void ahci_sg_drop(struct ahci_cmd *, bool in);
/* Copy to the guest and from it: all, or an error after some. */
enum sg_status
ahci_sg_put(struct ahci_cmd *, const void *src, size_t len) WARN_UNUSED;
enum sg_status
ahci_sg_get(struct ahci_cmd *, void *dst, size_t len) WARN_UNUSED;

/* --- ahci_xfer.c ---------------------------------------------------------- */

/*
 * Moves [off, off+len) of the medium in units of `unit`; then calls end.
 * Behind the end of the medium zeroes are read.
 */
void ahci_xfer(struct ahci_cmd *, enum ahci_xfer, uint64_t off, uint64_t len,
    uint32_t unit, void (*end)(struct ahci_cmd *, int error));
void ahci_flush(struct ahci_cmd *, void (*end)(struct ahci_cmd *, int error));

/* --- ata*.c --------------------------------------------------------------- */

/* Status and error registers, ACS-2 6.2 and 6.3. */
#define ATA_STS_BSY    0x80
#define ATA_STS_DRDY   0x40
#define ATA_STS_DF     0x20
#define ATA_STS_DSC    0x10
#define ATA_STS_DRQ    0x08
#define ATA_STS_ERR    0x01
#define ATA_STS_OK     (ATA_STS_DRDY | ATA_STS_DSC)
#define ATA_ERR_UNC    0x40
#define ATA_ERR_IDNF   0x10
#define ATA_ERR_ABRT   0x04

#define ATA_SECTORS_28 0x0fffffffull
#define ATA_MULT_MAX   128u
#define ATA_DSM_BLOCKS 8u /* of 512 bytes with 64 ranges each */
#define ATA_HEADS      16u
#define ATA_SPT	       63u

/* hard: power-on or COMRESET; else software reset. */
void ata_reset(struct ahci_port *, bool hard);
bool ata_is_ncq(const struct ahci_port *, uint8_t command);
/* The command in cmd->fis. */
void ata_command(struct ahci_cmd *);
uint64_t ata_sectors(const struct ahci_port *);
uint64_t ata_lba48(const struct fis_reg_h2d *);
unsigned int ata_cylinders(const struct ahci_port *);
/* A failure of the medium. */
void ata_medium_end(struct ahci_cmd *, int error);
void ata_identify(struct ahci_cmd *);
void ata_read_log(struct ahci_cmd *);
/* An NCQ command failed: what log 10h will say. */
void ata_log_ncq_error(struct ahci_cmd *, uint8_t status, uint8_t error);
/* Range blocks of 512 bytes follow in the command's data. */
void ata_trim(struct ahci_cmd *, unsigned int blocks);

/* --- atapi*.c ------------------------------------------------------------- */

#define CD_BLOCK 2048u

void atapi_packet(struct ahci_cmd *);
void atapi_reset(struct ahci_port *);
uint32_t atapi_blocks(const struct ahci_port *);

/* Sense keys, SPC-4 table 44, and additional codes, annex D.2. */
#define SK_NOT_READY		 0x2
#define SK_MEDIUM_ERROR		 0x3
#define SK_ILLEGAL_REQUEST	 0x5
#define SK_UNIT_ATTENTION	 0x6
#define SK_DATA_PROTECT		 0x7
#define SK_ABORTED		 0xb
#define ASC(asc, ascq)		 ((asc) << 8 | (ascq))
#define ASC_READ_ERROR		 ASC(0x11, 0x00)
#define ASC_INVALID_OPCODE	 ASC(0x20, 0x00)
#define ASC_LBA_OUT_OF_RANGE	 ASC(0x21, 0x00)
#define ASC_INVALID_FIELD	 ASC(0x24, 0x00)
#define ASC_WRITE_PROTECTED	 ASC(0x27, 0x00)
#define ASC_MEDIUM_CHANGED	 ASC(0x28, 0x00)
#define ASC_POWER_ON		 ASC(0x29, 0x00)
#define ASC_SAVING_NOT_SUPPORTED ASC(0x39, 0x00)
#define ASC_TRAY_OPEN		 ASC(0x3a, 0x02)
#define ASC_REMOVAL_PREVENTED	 ASC(0x53, 0x02)
#define ASC_WRONG_TRACK_MODE	 ASC(0x64, 0x00)
void atapi_fail(struct ahci_cmd *, uint8_t key, uint16_t asc);
/* Data-in, no more than the allocation length the command gave. */
void
atapi_reply(struct ahci_cmd *, const void *buf, size_t len, size_t alloc_len);

void atapi_inquiry(struct ahci_cmd *);
void atapi_mode_sense_6(struct ahci_cmd *);
void atapi_mode_sense_10(struct ahci_cmd *);
void atapi_read_toc(struct ahci_cmd *);
void atapi_get_configuration(struct ahci_cmd *);
void atapi_get_event_status(struct ahci_cmd *);
void atapi_read_disc_information(struct ahci_cmd *);
void atapi_read_track_information(struct ahci_cmd *);
void atapi_mechanism_status(struct ahci_cmd *);

#endif /* DEV_AHCI_PRIV_H */
