/* SPDX-License-Identifier: MIT
 * Which of its pages a process has written to since its last snapshot, so that the others need not be read again.
 *
 * Large anonymous private areas are registered with a userfaultfd of the target's, for write-protection that the kernel
 * itself takes away at the first write (UFFD_FEATURE_WP_ASYNC); PAGEMAP_SCAN says where it did. Linux 6.7. */
#ifndef CT_TRACK_H
#define CT_TRACK_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/event.h"

struct ct_target;

struct ct_track {
	bool wanted;  /* there will be further snapshots */
	bool refused; /* it cannot be */
	int fd;       /* the userfaultfd, in the recorder only; closing it undoes all. -1: none */
	ct_u32 base;  /* the snapshot since which writes are known, 0: none */
};

/* Memory that is the process's own, by rising address; whole pages. */
struct ct_own_range {
	ct_u64 start, end;
	bool clean;          /* as in the snapshot `base` */
	unsigned char *data; /* else, once it is copied: inside of `copied` */
};
struct ct_own_pages {
	ct_u32 base;
	struct ct_own_range *range;
	size_t count, room;
	ct_u64 clean, changed; /* pages */
	unsigned char *copied;
	size_t copied_len;
};

/* Whether this kernel can. False: why, in *what. */
bool ct_track_supported(char *what, size_t len);
/* Of a stopped and inspected target: lists its memory, and from here on notices writes. Nothing may have been changed
 * in it that the snapshot is to have otherwise. `own` stays empty where nothing can be known. */
void ct_track_look(struct ct_target *t, struct ct_own_pages *own);
/* Copies what is not clean. False, and nothing copied, if that is more than a copy-on-write child would cost. */
bool ct_track_copy(struct ct_target *t, struct ct_own_pages *own);
void ct_own_pages_deinit(struct ct_own_pages *own);
/* The process is as it was before, but for what the kernel keeps of an ended registration: nothing. */
void ct_track_end(struct ct_track *track);

#endif
