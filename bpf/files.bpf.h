/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Files behind descriptors: their identity, and whether a read of one may be logged by reference.
 *
 * (device, inode, ctime, size) names the content as long as nobody can write to it. */
#ifndef CT_FILES_BPF_H
#define CT_FILES_BPF_H

#include "target.bpf.h"

#define CT_REF_MIN    1024        /* shorter reads are cheaper to copy */
#define CT_FILE_OFFER 0x80000000u /* in ct_file_ref.flags, never on disk: the recorder does not have it yet */

struct kept_map {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct ct_kept_key);
	__type(value, struct ct_kept);
};
extern struct kept_map kept SEC(".maps");

/* File systems whose ctime can be trusted to change with the content. */
#define EXT_MAGIC   0xef53
#define XFS_MAGIC   0x58465342
#define BTRFS_MAGIC 0x9123683eu
#define TMPFS_MAGIC 0x01021994
#define F2FS_MAGIC  0xf2f52010u

/* Fills *ref for descriptor `fd` of the current task; false if it is not a regular file. */
int file_identity(s32 fd, struct ct_file_ref *ref, u64 map_flags);
/* As above for a read of `len` bytes at `pos` (~0: the file position, already advanced). True if the record may hold
 * a reference; then CT_FILE_OFFER in ref->flags says that the recorder has to be offered the file first. */
int file_reference(s32 fd, u64 pos, u64 len, struct ct_file_ref *ref);
/* Set once a file has been mapped that can be written to: from then on writes to mapped files are looked for. */
extern volatile ct_u32 watch_writes;
/* Whether descriptor `fd` is a regular file that somebody has mapped. */
int file_is_mapped(s32 fd);
int file_is_kept(const struct ct_file_ref *ref);

#endif
