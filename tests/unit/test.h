/* SPDX-License-Identifier: BSD-2-Clause */
/* test.h - cmocka with the headers it needs, for every test of this folder. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#endif /* TESTS_TEST_H */
