/* SPDX-License-Identifier: MIT
 * For each test of the step database a directory of its own, which is gone afterwards. */
#ifndef STEPDB_FIXTURE_H
#define STEPDB_FIXTURE_H

#include "tests/unit/stepdb_helpers.h"

static char *dir;
static int fd; /* of the directory */

/* An empty one. */
static inline void set_up_directory(void)
{
	dir = scratch_dir();
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0, dir);
}

/* One that is a recording. */
static inline void set_up_recording(void)
{
	dir = scratch_dir();
	fd = make_recording(dir, "complete");
}

static inline void tear_down(void)
{
	close(fd);
	scratch_remove(dir);
}

#endif
