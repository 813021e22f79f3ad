/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_engine.h - an engine whose "guest" is a C function.
 *
 * It keeps registers and counts calls.  By default a vCPU waits for an event
 * and then does what the contract says about VCPU_EV_STOP.
 */
#ifndef TESTS_FAKE_ENGINE_H
#define TESTS_FAKE_ENGINE_H

#include <vmm/engine.h>
#include <vmm/vcpu.h>
#include <vmm/vm.h>

typedef int (*fake_guest)(struct vcpu *, struct vm_exit *);

struct fake_vcpu {
	uint64_t reg[VM_REG_LAST];
	struct seg_desc desc[VM_REG_LAST];
	int cap[VM_CAP_MAX];
	unsigned int resets, restarts, step; /* step: the guest's own use */
	int inject_vector;
	bool inject_restart, inject_has_errcode;
	uint32_t inject_errcode;
	int inject_err; /* what inject answers */
	uint64_t intinfo;
	_Atomic unsigned int kicks, runs;
	uint64_t stats_have, stat; /* what the engine counts, all equal */
};

struct fake_vm {
	fake_guest guest;
	void *arg;	      /* the guest's own use */
	int mem_setup_err;    /* what mem_setup answers */
	uint64_t written_gpa; /* last mem_written */
	size_t written_len;
	unsigned int vcpus_alive;
	/* Short ways. */
	unsigned int posted; /* ranges told of and not taken back */
	bool posted_pio;     /* the last one */
	uint64_t posted_addr, posted_len;
	bool dirty_on;
	int dirty_err;	     /* what dirty_log answers */
	uint64_t dirty_word; /* what the "guest" stored, for word 0 */
};

extern const struct vm_engine_ops fake_engine;
extern const struct vm_engine_ops fake_engine_broken; /* vm_create fails */
extern unsigned int fake_vms_alive;

struct fake_vm *fake_vm(struct vmctx *);
struct fake_vcpu *fake_vcpu(struct vcpu *);
/* A machine whose vCPUs run `guest`; never NULL. */
struct vmctx *fake_vm_new(unsigned int ncpus, fake_guest guest);
/* With vm_set_hlt_poll(). */
struct vmctx *fake_vm_new_polling(unsigned int ncpus, fake_guest guest);
/* What an engine does with VCPU_EV_STOP.  False: it was not set. */
bool fake_take_stop(struct vcpu *, struct vm_exit *);
/* Sleeps until there is an event, takes all; the default guest. */
int fake_idle(struct vcpu *, struct vm_exit *);

#endif /* TESTS_FAKE_ENGINE_H */
