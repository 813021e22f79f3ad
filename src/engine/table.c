/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - all engines, in the order in which -E auto tries them.
 */
#include <vmm/engine.h>

extern const struct vm_engine_ops kvm_engine_ops, soft_engine_ops;

const struct vm_engine_ops *const vm_engine_table[] = {
	&kvm_engine_ops,
	&soft_engine_ops,
};
const size_t vm_engine_table_len = ARRAY_LEN(vm_engine_table);
