/* SPDX-License-Identifier: MIT
 * Private to formats/: an open recording as its parts (opening, cursor, positions, summary) see it.
 *
 * Also the few things the recording needs from segments that others do not. */
#ifndef CT_RECORDING_PRIVATE_H
#define CT_RECORDING_PRIVATE_H

#include "recording.h"

struct ct_recording {
	int dirfd;
	int segments_dirfd; /* -1: no such directory */
	char *path;
	json_t *manifest;
	ct_u8 uuid[16];
	ct_u64 realtime_ns, monotonic_ns; /* the same moment on both clocks, from the manifest */
	ct_u64 kept_seq; /* with this record the kept part begins; what is before is about to be removed */
	enum ct_recording_state state;
	struct ct_segment **segments;
	size_t nsegments;
	ct_u32 *snapshots;
	size_t nsnapshots;
	char **problems;
	size_t nproblems;
};

const char *ct_segment_name(const struct ct_segment *seg);
ct_u64 ct_segment_bytes(const struct ct_segment *seg);
/* Closes the segment's descriptor; each read opens it again below dirfd, which must stay open. For recordings
 * with more segments than a process may have files open. */
void ct_segment_park(struct ct_segment *seg, int dirfd);
/* Whether the text of a manifest ends with the checksum of what is before it. */
bool ct_manifest_sealed(const char *text, size_t len);
/* Recorder's start time as /proc/PID/stat has it; 0 if there is no such process. */
ct_u64 ct_process_start_time(long pid);

#endif
