/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_tree.h - what must be true of any tree of settings (fuzz_tree.c). */
#ifndef TESTS_FUZZ_TREE_H
#define TESTS_FUZZ_TREE_H

struct conf;

/* Aborts when it is not. */
void fuzz_tree(const struct conf *);

#endif /* TESTS_FUZZ_TREE_H */
