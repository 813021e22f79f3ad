/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay_main.c - runs a fuzz target once on each file of the given
 * directories, so that `make check` keeps what hunting once found.  A crash is
 * the failure; an empty corpus is one too.
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_MAX (16u << 20)

static int
replay_file(const char *path)
{
	struct stat st;
	uint8_t *buf;
	FILE *f;
	int rc = 1;

	f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return 1;
	}
	/* Exactly as long as the file: a read past the end is then seen. */
	if (fstat(fileno(f), &st) == 0 && st.st_size <= INPUT_MAX &&
	    (buf = malloc((size_t)st.st_size)) != NULL) {
		if (fread(buf, 1, (size_t)st.st_size, f) == (size_t)st.st_size)
			rc = LLVMFuzzerTestOneInput(buf, (size_t)st.st_size);
		free(buf);
	}
	fclose(f);
	if (rc != 0)
		fprintf(stderr, "%s: failed\n", path);
	return rc;
}

static int
replay_dir(const char *dir, unsigned int *passed, unsigned int *failed)
{
	char path[4096];
	struct dirent *de;
	DIR *d = opendir(dir);

	if (d == NULL) {
		perror(dir);
		return 1;
	}
	while ((de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		if (replay_file(path) == 0)
			(*passed)++;
		else
			(*failed)++;
	}
	closedir(d);
	return 0;
}

int
main(int argc, char **argv)
{
	unsigned int passed = 0, failed = 0;
	int rc = 0;

	for (int i = 1; i < argc; i++)
		rc |= replay_dir(argv[i], &passed, &failed);
	printf("%u passed, %u failed\n", passed, failed);
	return rc != 0 || failed != 0 || passed == 0;
}
