// SPDX-License-Identifier: MIT OR GPL-2.0
/* Files behind descriptors: see files.bpf.h. All reads are of kernel memory that may change under us; a torn read
 * makes an identity that matches nothing, and then bytes are copied. */
#include "files.bpf.h"

struct kept_map kept SEC(".maps");
volatile ct_u32 watch_writes = 0;

#define S_IFMT  0170000
#define S_IFREG 0100000

static __always_inline struct file *file_of(s32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *fdt;
	struct file **array, *file = NULL;

	if (fd < 0)
		return NULL;
	fdt = BPF_CORE_READ(task, files, fdt);
	if (!fdt || (u32)fd >= BPF_CORE_READ(fdt, max_fds))
		return NULL;
	array = BPF_CORE_READ(fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), &array[fd]);
	return file;
}

static __always_inline void inode_ctime(struct inode *inode, struct ct_file_ref *ref)
{
	if (bpf_core_field_exists(inode->i_ctime_sec)) {
		ref->ctime_s = BPF_CORE_READ(inode, i_ctime_sec);
		/* 6.13 and later keep a flag ("somebody asked for it") in the top bit. */
		ref->ctime_ns = BPF_CORE_READ(inode, i_ctime_nsec) & ~(1u << 31);
	} else if (bpf_core_field_exists(((struct inode___6_6 *)0)->__i_ctime)) {
		struct inode___6_6 *old = (void *)inode;

		ref->ctime_s = BPF_CORE_READ(old, __i_ctime.tv_sec);
		ref->ctime_ns = BPF_CORE_READ(old, __i_ctime.tv_nsec);
	} else {
		struct inode___5_x *old = (void *)inode;

		ref->ctime_s = BPF_CORE_READ(old, i_ctime.tv_sec);
		ref->ctime_ns = BPF_CORE_READ(old, i_ctime.tv_nsec);
	}
}

static __always_inline bool inode_identity(struct inode *inode, struct ct_file_ref *ref)
{
	if (!inode || (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFREG)
		return false;
	ref->dev = BPF_CORE_READ(inode, i_sb, s_dev);
	ref->ino = BPF_CORE_READ(inode, i_ino);
	ref->size = BPF_CORE_READ(inode, i_size);
	inode_ctime(inode, ref);
	return true;
}

__noinline int file_identity(s32 fd, struct ct_file_ref *ref, u64 map_flags)
{
	struct file *file = file_of(fd);

	if (!ref || !file || !inode_identity(BPF_CORE_READ(file, f_inode), ref))
		return 0;
	ref->flags = (map_flags & 1) /* MAP_SHARED */ && (BPF_CORE_READ(file, f_mode) & 2) /* FMODE_WRITE */
			     ? CT_FILE_SHARED_WRITABLE
			     : 0;
	ref->offset = 0;
	ref->len = 0;
	if (mode == CT_MODE_REPLAY &&
	    ((ref->flags & CT_FILE_SHARED_WRITABLE) || BPF_CORE_READ(file, f_inode, i_writecount.counter) > 0))
		watch_writes = 1;
	if (ref->flags & CT_FILE_SHARED_WRITABLE) { /* from here on its times do not tell its content */
		struct ct_kept_key key = {ref->dev, ref->ino};
		struct ct_kept *k = bpf_map_lookup_elem(&kept, &key);

		if (k && k->state != CT_KEPT_SHARED)
			bpf_map_delete_elem(&kept, &key);
	}
	return 1;
}

__noinline int file_is_mapped(s32 fd)
{
	struct file *file = file_of(fd);
	struct inode *inode = file ? BPF_CORE_READ(file, f_inode) : NULL;

	return inode && (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFREG &&
	       BPF_CORE_READ(inode, i_mapping, i_mmap.rb_root.rb_node);
}

static __always_inline bool only_holder(struct file *file)
{
	if (bpf_core_field_exists(((struct file___ref *)0)->f_ref)) {
		struct file___ref *f = (void *)file;

		return BPF_CORE_READ(f, f_ref.refcnt.counter) == 0; /* counts from -1, held once */
	}
	return BPF_CORE_READ((struct file___count *)(void *)file, f_count.counter) == 1;
}

__noinline int file_is_kept(const struct ct_file_ref *ref)
{
	struct ct_kept_key key;
	struct ct_kept *k;

	if (!ref)
		return 0;
	key.dev = ref->dev;
	key.ino = ref->ino;
	k = bpf_map_lookup_elem(&kept, &key);
	if (!k || (k->state != CT_KEPT_KEPT && k->state != CT_KEPT_SHARED) || k->ctime_s != ref->ctime_s ||
	    k->ctime_ns != ref->ctime_ns || k->size != ref->size)
		return 0;
	k->used = 1;
	return 1;
}

__noinline int file_reference(s32 fd, u64 pos, u64 len, struct ct_file_ref *ref)
{
	struct file *file = file_of(fd);
	struct ct_kept_key key;
	struct ct_kept *k, ask = {};
	struct inode *inode;
	u64 magic;

	if (!file || !ref)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if (!inode_identity(inode, ref))
		return 0;
	magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if (magic != EXT_MAGIC && magic != XFS_MAGIC && magic != BTRFS_MAGIC && magic != TMPFS_MAGIC &&
	    magic != F2FS_MAGIC)
		return 0;
	if (BPF_CORE_READ(inode, i_writecount.counter) > 0 ||
	    BPF_CORE_READ(inode, i_mapping, i_mmap_writable.counter) > 0)
		return 0;
	if (pos == ~0ull) {
		/* The position is that after the read, unless somebody else moved it: then the descriptor is shared. */
		if (!only_holder(file))
			return 0;
		pos = BPF_CORE_READ(file, f_pos) - len;
	}
	if (pos + len > ref->size || pos + len < len)
		return 0;
	ref->flags = 0;
	ref->offset = pos;
	ref->len = len;

	key.dev = ref->dev;
	key.ino = ref->ino;
	k = bpf_map_lookup_elem(&kept, &key);
	if (k && k->ctime_s == ref->ctime_s && k->ctime_ns == ref->ctime_ns && k->size == ref->size) {
		if (k->state != CT_KEPT_KEPT && k->state != CT_KEPT_SITES)
			return 0; /* asked already */
		k->used = 1;
		return 1;
	}
	ask.ctime_s = ref->ctime_s;
	ask.ctime_ns = ref->ctime_ns;
	ask.size = ref->size;
	ask.state = CT_KEPT_ASKED;
	bpf_map_update_elem(&kept, &key, &ask, BPF_ANY);
	ref->flags = CT_FILE_OFFER;
	return 1;
}
