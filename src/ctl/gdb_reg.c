/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gdb_reg.c - the registers gdb sees, as one table from which the target
 * description is made (gdb manual, appendix G; its standard features for
 * i386), and how each is read and written.
 *
 * Missing on purpose: AVX-512 and MPX, which guests are not offered.
 */
#include "gdb_priv.h"

#include <stdlib.h>

/* Where a register's bytes come from. */
enum reg_kind {
	REG_VMM,   /* arg: enum vm_reg_name */
	REG_BASE,  /* arg: segment whose base it is */
	REG_X87,   /* arg: 0..7 */
	REG_FCTRL, /* arg: enum fctrl */
	REG_XSAVE, /* arg: offset in the XSAVE area */
};
enum fctrl {
	FCTRL,
	FSTAT,
	FTAG,
	FISEG,
	FIOFF,
	FOSEG,
	FOOFF,
	FOP,
};

/* XSAVE area, SDM 1 10.5.1 and 13.4. */
#define XS_FCW	   0
#define XS_FSW	   2
#define XS_FTW	   4
#define XS_FOP	   6
#define XS_FIP	   8
#define XS_FDP	   16
#define XS_MXCSR   24
#define XS_ST(n)   (32 + 16 * (n))
#define XS_XMM(n)  (160 + 16 * (n))
#define XS_YMMH(n) (576 + 16 * (n))

struct reg_def {
	const char *name, *type, *group;
	uint16_t bits;
	uint8_t kind;
	uint16_t arg;
};

#define GPR(n, vm)                                                             \
	{                                                                      \
		n, "int64", NULL, 64, REG_VMM, VM_REG_GUEST_##vm               \
	}
#define SEG(n, vm)                                                             \
	{                                                                      \
		n, "int32", NULL, 32, REG_VMM, VM_REG_GUEST_##vm               \
	}
#define SYS(n, vm)                                                             \
	{                                                                      \
		n, "int64", "system", 64, REG_VMM, VM_REG_GUEST_##vm           \
	}
#define ST(n)                                                                  \
	{                                                                      \
		"st" #n, "i387_ext", NULL, 80, REG_X87, n                      \
	}
#define FPC(n, id)                                                             \
	{                                                                      \
		n, "int", "float", 32, REG_FCTRL, id                           \
	}
#define XMM(n)                                                                 \
	{                                                                      \
		"xmm" #n, "vec128", NULL, 128, REG_XSAVE, XS_XMM(n)            \
	}
#define YMMH(n)                                                                \
	{                                                                      \
		"ymm" #n "h", "uint128", NULL, 128, REG_XSAVE, XS_YMMH(n)      \
	}
/* clang-format off */
#define SIXTEEN(X) X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), \
	X(8), X(9), X(10), X(11), X(12), X(13), X(14), X(15)

static const struct reg_def core_regs[] = {
	GPR("rax", RAX), GPR("rbx", RBX), GPR("rcx", RCX), GPR("rdx", RDX),
	GPR("rsi", RSI), GPR("rdi", RDI),
	{ "rbp", "data_ptr", NULL, 64, REG_VMM, VM_REG_GUEST_RBP },
	{ "rsp", "data_ptr", NULL, 64, REG_VMM, VM_REG_GUEST_RSP },
	GPR("r8", R8), GPR("r9", R9), GPR("r10", R10), GPR("r11", R11),
	GPR("r12", R12), GPR("r13", R13), GPR("r14", R14), GPR("r15", R15),
	{ "rip", "code_ptr", NULL, 64, REG_VMM, VM_REG_GUEST_RIP },
	{ "eflags", "i386_eflags", NULL, 32, REG_VMM, VM_REG_GUEST_RFLAGS },
	SEG("cs", CS), SEG("ss", SS), SEG("ds", DS), SEG("es", ES),
	SEG("fs", FS), SEG("gs", GS),
	ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
	FPC("fctrl", FCTRL), FPC("fstat", FSTAT), FPC("ftag", FTAG),
	FPC("fiseg", FISEG), FPC("fioff", FIOFF), FPC("foseg", FOSEG),
	FPC("fooff", FOOFF), FPC("fop", FOP),
};
static const struct reg_def sse_regs[] = {
	SIXTEEN(XMM),
	{ "mxcsr", "i386_mxcsr", "vector", 32, REG_XSAVE, XS_MXCSR },
};
static const struct reg_def avx_regs[] = { SIXTEEN(YMMH) };
static const struct reg_def segment_regs[] = {
	{ "fs_base", "int", NULL, 64, REG_BASE, VM_REG_GUEST_FS },
	{ "gs_base", "int", NULL, 64, REG_BASE, VM_REG_GUEST_GS },
};
static const struct reg_def system_regs[] = {
	SYS("cr0", CR0), SYS("cr2", CR2), SYS("cr3", CR3), SYS("cr4", CR4),
	SYS("cr8", CR8), SYS("efer", EFER),
	SYS("ldtr", LDTR), SYS("tr", TR),
	{ "gdtr_base", "int64", "system", 64, REG_BASE, VM_REG_GUEST_GDTR },
	{ "idtr_base", "int64", "system", 64, REG_BASE, VM_REG_GUEST_IDTR },
	{ "tr_base", "int64", "system", 64, REG_BASE, VM_REG_GUEST_TR },
	SYS("dr0", DR0), SYS("dr1", DR1), SYS("dr2", DR2), SYS("dr3", DR3),
	SYS("dr6", DR6), SYS("dr7", DR7),
};
/* clang-format on */

/* Types gdb does not have by itself. */
#define SSE_TYPES                                                              \
	"<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"                \
	"<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"                \
	"<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"                    \
	"<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"                    \
	"<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"                    \
	"<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"                    \
	"<union id=\"vec128\">"                                                \
	"<field name=\"v4_float\" type=\"v4f\"/>"                              \
	"<field name=\"v2_double\" type=\"v2d\"/>"                             \
	"<field name=\"v16_int8\" type=\"v16i8\"/>"                            \
	"<field name=\"v8_int16\" type=\"v8i16\"/>"                            \
	"<field name=\"v4_int32\" type=\"v4i32\"/>"                            \
	"<field name=\"v2_int64\" type=\"v2i64\"/>"                            \
	"<field name=\"uint128\" type=\"uint128\"/></union>"                   \
	"<flags id=\"i386_mxcsr\" size=\"4\">"                                 \
	"<field name=\"IE\" start=\"0\" end=\"0\"/>"                           \
	"<field name=\"DE\" start=\"1\" end=\"1\"/>"                           \
	"<field name=\"ZE\" start=\"2\" end=\"2\"/>"                           \
	"<field name=\"OE\" start=\"3\" end=\"3\"/>"                           \
	"<field name=\"UE\" start=\"4\" end=\"4\"/>"                           \
	"<field name=\"PE\" start=\"5\" end=\"5\"/>"                           \
	"<field name=\"DAZ\" start=\"6\" end=\"6\"/>"                          \
	"<field name=\"IM\" start=\"7\" end=\"7\"/>"                           \
	"<field name=\"DM\" start=\"8\" end=\"8\"/>"                           \
	"<field name=\"ZM\" start=\"9\" end=\"9\"/>"                           \
	"<field name=\"OM\" start=\"10\" end=\"10\"/>"                         \
	"<field name=\"UM\" start=\"11\" end=\"11\"/>"                         \
	"<field name=\"PM\" start=\"12\" end=\"12\"/>"                         \
	"<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>"
#define CORE_TYPES                                                             \
	"<flags id=\"i386_eflags\" size=\"4\">"                                \
	"<field name=\"CF\" start=\"0\" end=\"0\"/>"                           \
	"<field name=\"PF\" start=\"2\" end=\"2\"/>"                           \
	"<field name=\"AF\" start=\"4\" end=\"4\"/>"                           \
	"<field name=\"ZF\" start=\"6\" end=\"6\"/>"                           \
	"<field name=\"SF\" start=\"7\" end=\"7\"/>"                           \
	"<field name=\"TF\" start=\"8\" end=\"8\"/>"                           \
	"<field name=\"IF\" start=\"9\" end=\"9\"/>"                           \
	"<field name=\"DF\" start=\"10\" end=\"10\"/>"                         \
	"<field name=\"OF\" start=\"11\" end=\"11\"/>"                         \
	"<field name=\"NT\" start=\"14\" end=\"14\"/>"                         \
	"<field name=\"RF\" start=\"16\" end=\"16\"/>"                         \
	"<field name=\"VM\" start=\"17\" end=\"17\"/>"                         \
	"<field name=\"AC\" start=\"18\" end=\"18\"/>"                         \
	"<field name=\"ID\" start=\"21\" end=\"21\"/></flags>"

static const struct reg_feature {
	const char *name, *types;
	const struct reg_def *regs;
	size_t n;
} features[] = {
	{ "org.gnu.gdb.i386.core", CORE_TYPES, core_regs,
	    ARRAY_LEN(core_regs) },
	{ "org.gnu.gdb.i386.sse", SSE_TYPES, sse_regs, ARRAY_LEN(sse_regs) },
	{ "org.gnu.gdb.i386.avx", "", avx_regs, ARRAY_LEN(avx_regs) },
	{ "org.gnu.gdb.i386.segments", "", segment_regs,
	    ARRAY_LEN(segment_regs) },
	{ "org.bhyve.x86.system", "", system_regs, ARRAY_LEN(system_regs) },
};

void
gdb_target_xml(struct gdb_buf *out)
{
	gdb_printf(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM "
			"\"gdb-target.dtd\"><target><architecture>i386:x86-64"
			"</architecture>");
	for (size_t f = 0; f < ARRAY_LEN(features); f++) {
		gdb_printf(out, "<feature name=\"%s\">", features[f].name);
		gdb_buf_add(out, features[f].types, strlen(features[f].types));
		for (size_t i = 0; i < features[f].n; i++) {
			const struct reg_def *r = &features[f].regs[i];

			gdb_printf(out,
			    "<reg name=\"%s\" bitsize=\"%u\" "
			    "type=\"%s\"%s%s%s/>",
			    r->name, r->bits, r->type,
			    r->group != NULL ? " group=\"" : "",
			    r->group != NULL ? r->group : "",
			    r->group != NULL ? "\"" : "");
		}
		gdb_printf(out, "</feature>");
	}
	gdb_printf(out, "</target>");
}

static const struct reg_def *
reg_find(unsigned int n)
{
	for (size_t f = 0; f < ARRAY_LEN(features); f++) {
		if (n < features[f].n)
			return &features[f].regs[n];
		n -= (unsigned int)features[f].n;
	}
	return NULL;
}

unsigned int
gdb_reg_count(void)
{
	unsigned int n = 0;

	for (size_t f = 0; f < ARRAY_LEN(features); f++)
		n += (unsigned int)features[f].n;
	return n;
}

/* --- x87 control registers ------------------------------------------------ */

/* The two-bit tags of FSAVE from FXSAVE's one bit: 0 valid, 3 empty. */
static uint32_t
ftag_read(const uint8_t *x)
{
	uint32_t tag = 0;

	for (unsigned int i = 0; i < 8; i++)
		if ((x[XS_FTW] & BIT(i)) == 0)
			tag |= 3u << 2 * i;
	return tag;
}

static void
ftag_write(uint8_t *x, uint32_t tag)
{
	x[XS_FTW] = 0;
	for (unsigned int i = 0; i < 8; i++)
		if ((tag >> 2 * i & 3) != 3)
			x[XS_FTW] |= (uint8_t)BIT(i);
}

/* In 64-bit form the pointers have no selectors. */
static const struct {
	uint8_t off, bytes; /* bytes 0: reads 0 */
} fctrl_fields[] = {
	[FCTRL] = { XS_FCW, 2 },
	[FSTAT] = { XS_FSW, 2 },
	[FTAG] = { XS_FTW, 1 },
	[FISEG] = { 0, 0 },
	[FIOFF] = { XS_FIP, 4 },
	[FOSEG] = { 0, 0 },
	[FOOFF] = { XS_FDP, 4 },
	[FOP] = { XS_FOP, 2 },
};

static uint32_t
fctrl_read(const uint8_t *x, unsigned int which)
{
	uint32_t v = 0;

	if (which == FTAG)
		return ftag_read(x);
	memcpy(&v, x + fctrl_fields[which].off, fctrl_fields[which].bytes);
	return v;
}

static void
fctrl_write(uint8_t *x, unsigned int which, uint32_t v)
{
	if (which == FTAG)
		ftag_write(x, v);
	else
		memcpy(
		    x + fctrl_fields[which].off, &v, fctrl_fields[which].bytes);
}

/* --- one register --------------------------------------------------------- */

/* The registers that live in the XSAVE area, in the bytes gdb wants. */
static void
xsave_to_reg(const uint8_t *x, const struct reg_def *r, uint8_t *buf)
{
	if (r->kind == REG_X87)
		memcpy(buf, x + XS_ST(r->arg), r->bits / 8);
	else if (r->kind == REG_FCTRL)
		put_le32(buf, fctrl_read(x, r->arg));
	else
		memcpy(buf, x + r->arg, r->bits / 8);
}

static void
reg_to_xsave(uint8_t *x, const struct reg_def *r, const uint8_t *buf)
{
	if (r->kind == REG_X87)
		memcpy(x + XS_ST(r->arg), buf, r->bits / 8);
	else if (r->kind == REG_FCTRL)
		fctrl_write(x, r->arg, get_le32(buf));
	else
		memcpy(x + r->arg, buf, r->bits / 8);
}

#define REG_BYTES_MAX 16

static bool
reg_get(struct vcpu *vcpu, const struct reg_def *r, uint8_t *buf)
{
	uint8_t x[VM_XSAVE_BYTES];
	uint32_t limit, access;
	uint64_t v = 0;

	switch (r->kind) {
	case REG_VMM:
		if (vm_get_register(vcpu, r->arg, &v) != 0)
			return false;
		break;
	case REG_BASE:
		if (vm_get_desc(vcpu, r->arg, &v, &limit, &access) != 0)
			return false;
		break;
	default:
		if (vm_get_xsave(vcpu, x) != 0)
			return false;
		xsave_to_reg(x, r, buf);
		return true;
	}
	memcpy(buf, &v, r->bits / 8);
	return true;
}

static bool
reg_set(struct vcpu *vcpu, const struct reg_def *r, const uint8_t *buf)
{
	uint8_t x[VM_XSAVE_BYTES];
	uint32_t limit, access;
	uint64_t v = 0, old;

	switch (r->kind) {
	case REG_VMM:
		memcpy(&v, buf, r->bits / 8);
		return vm_set_register(vcpu, r->arg, v) == 0;
	case REG_BASE:
		memcpy(&v, buf, r->bits / 8);
		return vm_get_desc(vcpu, r->arg, &old, &limit, &access) == 0 &&
		       vm_set_desc(vcpu, r->arg, v, limit, access) == 0;
	default:
		if (vm_get_xsave(vcpu, x) != 0)
			return false;
		reg_to_xsave(x, r, buf);
		return vm_set_xsave(vcpu, x) == 0;
	}
}

/* What cannot be read is "xx...": unavailable (RSP, g packet). */
bool
gdb_reg_read(struct vcpu *vcpu, unsigned int n, struct gdb_buf *out)
{
	const struct reg_def *r = reg_find(n);
	uint8_t buf[REG_BYTES_MAX];

	if (r == NULL)
		return false;
	if (reg_get(vcpu, r, buf)) {
		gdb_buf_hex(out, buf, r->bits / 8);
		return true;
	}
	for (unsigned int i = 0; i < r->bits / 8u; i++)
		gdb_buf_add(out, "xx", 2);
	return true;
}

size_t
gdb_reg_write(struct vcpu *vcpu, unsigned int n, const char *hex)
{
	const struct reg_def *r = reg_find(n);
	uint8_t buf[REG_BYTES_MAX];

	if (r == NULL)
		return 0;
	/* G gives back what g said was not there. */
	if (strncmp(hex, "xx", 2) == 0 && strlen(hex) >= r->bits / 4u)
		return r->bits / 4u;
	if (!gdb_parse_bytes(hex, buf, r->bits / 8) || !reg_set(vcpu, r, buf))
		return 0;
	return r->bits / 4u;
}
