/* SPDX-License-Identifier: MIT
 * Private to formats/: the structs of a snapshot's `state` and `pages` files.
 *
 * docs/format.md specifies them; everything little endian, sections padded to 8 bytes. */
#ifndef CT_SNAPSHOT_FORMAT_H
#define CT_SNAPSHOT_FORMAT_H

#include <assert.h>
#include <stdbool.h>

#include "snapshot.h"

#define SNAP_STATE_MAGIC 0x504e534650425443ull /* the bytes "CTBPFSNP" */
#define SNAP_PAGES_MAGIC 0x5347504650425443ull /* the bytes "CTBPFPGS" */
#define SNAP_STATE_MAX   (1ull << 30)          /* bytes of sections a reader accepts */
#define SNAP_BLOCK_PAGES 64u
#define SNAP_BLOCK_RAW   (SNAP_BLOCK_PAGES * CT_PAGE)
#define SNAP_PROCS_MAX   (1u << 20)
#define SNAP_PAGES_MAX   (1ull << 32) /* entries: 16 TiB of memory */

/* ---- state ---- */

struct snap_state_header { /* 64 bytes, then `size` bytes of sections */
	ct_u64 magic;
	ct_u16 version;
	ct_u16 pad0;
	ct_u32 flags; /* 0 */
	ct_u32 id;
	ct_u32 sections;
	ct_u64 size;
	ct_u32 sections_crc;
	ct_u32 reserved[6];
	ct_u32 crc; /* CRC32C of the 60 bytes before */
};
static_assert(sizeof(struct snap_state_header) == 64, "on-disk size");

enum snap_tag { SNAP_TAG_SNAPSHOT = 1, SNAP_TAG_PROC, SNAP_TAG_THREAD, SNAP_TAG_MAP, SNAP_TAG_FD };

struct snap_section { /* then `size` bytes, then padding to 8 */
	ct_u32 tag;
	ct_u32 size;
};

struct snap_d_snapshot {
	ct_u32 id, kind;
	ct_u64 seq, mono_ns, real_ns;
	ct_u32 current_tid, nprocs;
};
static_assert(sizeof(struct snap_d_snapshot) == 40, "on-disk size");

struct snap_d_proc { /* then exe, cwd, root, auxv */
	ct_u32 pid, ns_pid, ppid, flags;
	char comm[16];
	ct_u64 start_time;
	ct_u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	ct_u64 arg_start, arg_end, env_start, env_end;
	ct_u64 vdso, personality, pending, rss_bytes;
	ct_u32 umask, dumpable;
	ct_u32 nthreads, nmaps, nfds;
	ct_u32 exe_len, cwd_len, root_len, auxv_len, pad;
	struct ct_snap_sigaction sigaction[64];
};
static_assert(sizeof(struct snap_d_proc) == 32 + 16 * 8 + 40 + 64 * 32, "on-disk size");

struct snap_d_thread { /* then xsave */
	ct_u32 tid, ns_tid;
	char comm[16];
	struct ct_regs regs;
	ct_s32 in_syscall;
	ct_u32 flags;
	ct_u64 sigmask, pending, altstack_sp, altstack_size;
	ct_u32 altstack_flags;
	ct_s32 restart_nr;
	ct_u64 clear_child_tid, robust_list, robust_len;
	struct ct_snap_rseq rseq;
	ct_s32 policy, priority;
	ct_u32 xsave_len, pad;
};
static_assert(sizeof(struct snap_d_thread) == 24 + 23 * 8 + 8 + 32 + 8 + 24 + 24 + 16, "on-disk size");

struct snap_d_map { /* then name */
	ct_u64 start, end;
	ct_u32 prot, flags;
	ct_u64 offset;
	struct ct_file_ref file;
	ct_u8 hash[16];
	ct_u32 name_len, pad;
};
static_assert(sizeof(struct ct_file_ref) == 56 && sizeof(struct snap_d_map) == 112, "on-disk size");

struct snap_d_fd { /* then target */
	ct_s32 fd;
	ct_u32 flags;
	ct_u64 pos;
	ct_u32 target_len, pad;
};
static_assert(sizeof(struct snap_d_fd) == 24, "on-disk size");

/* ---- pages ---- */

struct snap_pages_header { /* 64 bytes, then data blocks; the index is at the end of the file */
	ct_u64 magic;
	ct_u16 version;
	ct_u16 pad0;
	ct_u32 flags; /* 0 */
	ct_u32 id;
	ct_u32 nprocs;
	ct_u64 index_offset; /* struct snap_block[nblocks], ct_u64 count[nprocs], struct snap_entry[npages] */
	ct_u32 nblocks;
	ct_u32 blocks_crc; /* of the struct snap_block array */
	ct_u64 npages;
	ct_u32 pages_crc; /* of counts and entries */
	ct_u32 reserved;
	ct_u32 pad1;
	ct_u32 crc; /* CRC32C of the 60 bytes before */
};
static_assert(sizeof(struct snap_pages_header) == 64, "on-disk size");

struct snap_block {
	ct_u64 offset;
	ct_u32 stored; /* bytes at offset */
	ct_u16 pages;  /* 1..SNAP_BLOCK_PAGES */
	ct_u16 codec;  /* enum ct_codec */
	ct_u32 crc;    /* CRC32C of the stored bytes */
	ct_u32 pad;
};
static_assert(sizeof(struct snap_block) == 24, "on-disk size");

struct snap_entry {
	ct_u64 addr;       /* of the page; CT_PAGEF_* in the low 12 bits */
	ct_u8 hash[16];    /* XXH3-128, canonical; all zero for a zero page */
	ct_u32 snapshot;   /* whose `pages` file; 0 for a zero page */
	ct_u32 block_slot; /* block << 6 | page within the block; 0 for a zero page */
};
static_assert(sizeof(struct snap_entry) == 32, "on-disk size");

#define SNAP_SLOT_BITS  6
#define SNAP_BLOCKS_MAX (1u << (32 - SNAP_SLOT_BITS))

/* ---- Shared by writer and reader ---- */

/* What a writer refuses to write and a reader to read. */
int snap_check(const struct ct_snapshot *snap, struct ct_error *err);

/* The sections of a snapshot; malloc'ed. -1: no memory. */
int snap_state_encode(const struct ct_snapshot *snap, void **data, size_t *size, ct_u32 *sections,
		      struct ct_error *err);
int snap_state_decode(const void *data, size_t size, ct_u32 sections, struct ct_snapshot *snap, struct ct_error *err);

/* Takes a snapshot's directory away, or what a writer left, this one or one that died. Only the names we make: nothing
 * is deleted blindly. -1 with errno. */
int snap_remove(int snapshots_fd, const char *name);

/* As in the file, one for each of ct_snapshot_pages(). */
const struct snap_entry *snap_entries(const struct ct_snapshot_reader *r, ct_u32 proc);

struct page_where {
	ct_u32 snapshot, block_slot;
};
/* Finds the page with this content, or NULL. */
const struct page_where *page_index_find(const struct ct_page_index *idx, ct_u64 hi, ct_u64 lo);
int page_index_add(struct ct_page_index *idx, ct_u64 hi, ct_u64 lo, struct page_where where);
/* Forgets what snapshot `id` added, which is not to be after all. */
void page_index_undo(struct ct_page_index *idx, ct_u32 id);

#endif
