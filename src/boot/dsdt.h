/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dsdt.h - the DSDT's AML, and the numbers it has in common with the FADT.
 */
#ifndef BOOT_DSDT_H
#define BOOT_DSDT_H

struct aml;
struct boot_tables;

#define HPET_GPA      0xfed00000u
#define PM1A_EVT_PORT 0x400
#define PM1A_CNT_PORT 0x404
#define PM_TMR_PORT   0x408
#define PM_TMR_LEN    4
#define SMI_CMD_PORT  0xb2

/* Everything behind the table's header; see aml_ok(). */
void dsdt_write(struct aml *, const struct boot_tables *);

#endif /* BOOT_DSDT_H */
