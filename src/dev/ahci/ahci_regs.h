/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ahci_regs.h - registers and structures in memory of AHCI 1.3.1, and the
 * frame information structures (FIS) of Serial ATA 3.x it leaves there.  All
 * little-endian, as this host is.
 */
#ifndef DEV_AHCI_REGS_H
#define DEV_AHCI_REGS_H

#include <assert.h>
#include <stdint.h>

#include <util/util.h>

/* --- generic host control, AHCI 3.1 --------------------------------------- */

#define AHCI_CAP       0x00
#define AHCI_GHC       0x04
#define AHCI_IS	       0x08
#define AHCI_PI	       0x0c
#define AHCI_VS	       0x10
#define AHCI_CCC_CTL   0x14
#define AHCI_CCC_PORTS 0x18
#define AHCI_EM_LOC    0x1c
#define AHCI_EM_CTL    0x20
#define AHCI_CAP2      0x24
#define AHCI_BOHC      0x28

#define CAP_NP_MASK    0x0000001fu
#define CAP_SXS	       BIT(5)
#define CAP_NCS_SHIFT  8
#define CAP_PSC	       BIT(13)
#define CAP_SSC	       BIT(14)
#define CAP_PMD	       BIT(15)
#define CAP_ISS_GEN3   (3u << 20)
#define CAP_SCLO       BIT(24)
#define CAP_SAL	       BIT(25)
#define CAP_SALP       BIT(26)
#define CAP_SSS	       BIT(27)
#define CAP_SMPS       BIT(28)
#define CAP_SSNTF      BIT(29)
#define CAP_SNCQ       BIT(30)
#define CAP_S64A       BIT(31)

#define CAP2_APST      BIT(2)

#define GHC_HR	       BIT(0)
#define GHC_IE	       BIT(1)
#define GHC_AE	       BIT(31)

#define AHCI_VS_1_3    0x00010300u

/* --- ports, AHCI 3.3 ------------------------------------------------------ */

#define AHCI_NPORTS    32u
#define AHCI_NSLOTS    32u
#define AHCI_PORT_BASE 0x100u
#define AHCI_PORT_STEP 0x80u

#define PxCLB	       0x00
#define PxCLBU	       0x04
#define PxFB	       0x08
#define PxFBU	       0x0c
#define PxIS	       0x10
#define PxIE	       0x14
#define PxCMD	       0x18
#define PxTFD	       0x20
#define PxSIG	       0x24
#define PxSSTS	       0x28
#define PxSCTL	       0x2c
#define PxSERR	       0x30
#define PxSACT	       0x34
#define PxCI	       0x38
#define PxSNTF	       0x3c

/* PxIS, PxIE */
#define PxIS_DHRS BIT(0) /* D2H register FIS */
#define PxIS_PSS  BIT(1) /* PIO setup FIS */
#define PxIS_DSS  BIT(2) /* DMA setup FIS */
#define PxIS_SDBS BIT(3) /* set device bits FIS */
#define PxIS_UFS  BIT(4) /* follows PxSERR.DIAG.F */
#define PxIS_DPS  BIT(5) /* a PRD with I is done */
#define PxIS_PCS  BIT(6) /* follows PxSERR.DIAG.X */
#define PxIS_DMPS BIT(7)
#define PxIS_PRCS BIT(22) /* follows PxSERR.DIAG.N */
#define PxIS_IPMS BIT(23)
#define PxIS_OFS  BIT(24) /* more data than PRDs */
#define PxIS_INFS BIT(26)
#define PxIS_IFS  BIT(27)
#define PxIS_HBDS BIT(28)
#define PxIS_HBFS BIT(29) /* bad pointer */
#define PxIS_TFES BIT(30) /* the device says ERR */
#define PxIS_CPDS BIT(31)
#define PxIS_RO	  (PxIS_UFS | PxIS_PCS | PxIS_PRCS)
#define PxIS_RWC                                                               \
	(PxIS_DHRS | PxIS_PSS | PxIS_DSS | PxIS_SDBS | PxIS_DPS | PxIS_DMPS |  \
	    PxIS_IPMS | PxIS_OFS | PxIS_INFS | PxIS_IFS | PxIS_HBDS |          \
	    PxIS_HBFS | PxIS_TFES | PxIS_CPDS)
#define PxIE_WRITABLE (PxIS_RO | PxIS_RWC)

/* PxCMD */
#define PxCMD_ST	BIT(0)
#define PxCMD_SUD	BIT(1)
#define PxCMD_POD	BIT(2)
#define PxCMD_CLO	BIT(3)
#define PxCMD_FRE	BIT(4)
#define PxCMD_CCS_SHIFT 8
#define PxCMD_CCS_MASK	0x00001f00u
#define PxCMD_FR	BIT(14)
#define PxCMD_CR	BIT(15)
#define PxCMD_CPS	BIT(16)
#define PxCMD_ATAPI	BIT(24)
#define PxCMD_DLAE	BIT(25)
#define PxCMD_ALPE	BIT(26)
#define PxCMD_ASP	BIT(27)
#define PxCMD_ICC_SHIFT 28
#define PxCMD_ICC_MASK	0xf0000000u
/* What stays as written; POD is read-only without cold presence detect. */
#define PxCMD_WRITABLE                                                         \
	(PxCMD_ST | PxCMD_SUD | PxCMD_FRE | PxCMD_ATAPI | PxCMD_DLAE |         \
	    PxCMD_ALPE | PxCMD_ASP)

/* PxSSTS and PxSCTL: DET 3:0, SPD 7:4, IPM 11:8 */
#define DET_MASK	0x00fu
#define SPD_MASK	0x0f0u
#define SPD_SHIFT	4
#define IPM_MASK	0xf00u
#define IPM_SHIFT	8
#define SSTS_DET_UP	0x3u /* present, and the phys talk */
#define SSTS_DET_OFF	0x4u
#define SSTS_SPD_GEN3	0x3u
#define SSTS_IPM_ACTIVE 0x1u
#define SCTL_DET_INIT	0x1u /* COMRESET while it stands */
#define SCTL_DET_OFF	0x4u
#define SCTL_WRITABLE	(DET_MASK | SPD_MASK | IPM_MASK)

/* PxSERR */
#define SERR_ERR_P    BIT(10) /* protocol error */
#define SERR_DIAG_N   BIT(16) /* the phy changed */
#define SERR_DIAG_H   BIT(22) /* the device refused a FIS */
#define SERR_DIAG_F   BIT(25) /* unknown FIS */
#define SERR_DIAG_X   BIT(26) /* COMINIT */
#define SERR_WRITABLE 0x07ff0f03u

#define SIG_DISK      0x00000101u
#define SIG_ATAPI     0xeb140101u
#define SIG_NONE      0xffffffffu

/* --- in memory, AHCI 4 ---------------------------------------------------- */

/* 4.2.2: one of 32 in the command list. */
struct ahci_cmd_hdr {
	uint16_t flags;
	uint16_t prdtl; /* entries */
	uint32_t prdbc; /* bytes moved, written by the HBA */
	uint32_t ctba;	/* bits 6:0 reserved */
	uint32_t ctbau;
	uint32_t reserved[4];
};
static_assert(sizeof(struct ahci_cmd_hdr) == 32, "AHCI 4.2.2");
#define CMD_HDR_CFL_MASK 0x001fu /* dwords of the command FIS */
#define CMD_HDR_A	 0x0020u /* ATAPI */
#define CMD_HDR_W	 0x0040u
#define CMD_HDR_R	 0x0100u
#define CMD_HDR_C	 0x0400u /* BSY goes when the FIS is sent */

/* 4.2.3: the command table. */
#define CMD_TABLE_ACMD	0x40u
#define CMD_TABLE_PRDT	0x80u
#define CMD_TABLE_ALIGN 0x80u
#define ACMD_BYTES	16u

struct ahci_prd {
	uint32_t dba; /* bit 0 reserved */
	uint32_t dbau;
	uint32_t reserved;
	uint32_t dbc; /* 21:0 bytes - 1, bit 0 set; 31: interrupt */
};
static_assert(sizeof(struct ahci_prd) == 16, "AHCI 4.2.3.3");
#define PRD_DBC_MASK 0x003fffffu
#define PRD_I	     BIT(31)

/* 4.2.1: offsets in the received FIS structure. */
#define RFIS_DSFIS  0x00u
#define RFIS_PSFIS  0x20u
#define RFIS_RFIS   0x40u
#define RFIS_SDBFIS 0x58u

/* --- FISes, Serial ATA 3.x 10.5 ------------------------------------------- */

#define FIS_TYPE_REG_H2D   0x27
#define FIS_TYPE_REG_D2H   0x34
#define FIS_TYPE_SDB	   0xa1
#define FIS_TYPE_DMA_SETUP 0x41
#define FIS_TYPE_PIO_SETUP 0x5f
#define FIS_I		   0x40 /* in the second byte: interrupt */
#define FIS_D		   0x20 /* ...: device to host */
#define FIS_C		   0x80 /* ...: command, not control */

struct fis_reg_h2d {
	uint8_t type, flags, command, features;
	uint8_t lba0, lba1, lba2, device;
	uint8_t lba3, lba4, lba5, features_exp;
	uint8_t count, count_exp, icc, control;
	uint32_t auxiliary;
};
static_assert(sizeof(struct fis_reg_h2d) == 20, "SATA 10.5.5");
#define FIS_H2D_DWORDS 5
#define CFIS_BYTES     64

#define CONTROL_SRST   0x04

struct fis_reg_d2h {
	uint8_t type, flags, status, error;
	uint8_t lba0, lba1, lba2, device;
	uint8_t lba3, lba4, lba5, reserved0;
	uint8_t count, count_exp, reserved1[2];
	uint8_t reserved2[4];
};
static_assert(sizeof(struct fis_reg_d2h) == 20, "SATA 10.5.6");

struct fis_pio_setup {
	uint8_t type, flags, status, error;
	uint8_t lba0, lba1, lba2, device;
	uint8_t lba3, lba4, lba5, reserved0;
	uint8_t count, count_exp, reserved1, e_status;
	uint16_t xfer_count, reserved2;
};
static_assert(sizeof(struct fis_pio_setup) == 20, "SATA 10.5.11");

struct fis_dma_setup {
	uint8_t type, flags, reserved0[2];
	uint32_t buffer_id[2]; /* the tag */
	uint32_t reserved1, offset, xfer_count, reserved2;
};
static_assert(sizeof(struct fis_dma_setup) == 28, "SATA 10.5.9");

struct fis_sdb {
	uint8_t type, flags, status, error;
	uint32_t sactive;
};
static_assert(sizeof(struct fis_sdb) == 8, "SATA 10.5.7");

#endif /* DEV_AHCI_REGS_H */
