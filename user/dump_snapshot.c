/* SPDX-License-Identifier: MIT
 * A snapshot as text or JSON: processes, threads with registers, mappings, descriptors.
 *
 * Page contents are summed up, not printed. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "../formats/snapshot.h"
#include "../formats/syscalls.h"
#include "dump.h"

struct flag_name {
	ct_u32 bit;
	const char *name;
};

static const struct flag_name *map_flags(void)
{
	static const struct flag_name names[] = {{CT_MAPF_SHARED, "shared"},
						 {CT_MAPF_GROWSDOWN, "growsdown"},
						 {CT_MAPF_FILE, "file"},
						 {CT_MAPF_SPECIAL, "special"},
						 {CT_MAPF_VDSO, "vdso"},
						 {CT_MAPF_HUGE, "huge"},
						 {CT_MAPF_ANON_SHARED, "kept"},
						 {CT_MAPF_WIPEONFORK, "wipeonfork"},
						 {CT_MAPF_DONTFORK, "dontfork"},
						 {CT_MAPF_NO_CONTENT, "no_content"},
						 {0, NULL}};
	return names;
}

static void prot_text(char text[4], ct_u32 prot)
{
	text[0] = prot & PROT_READ ? 'r' : '-';
	text[1] = prot & PROT_WRITE ? 'w' : '-';
	text[2] = prot & PROT_EXEC ? 'x' : '-';
	text[3] = '\0';
}

static const char *access_mode(ct_u32 flags)
{
	unsigned mode = flags & O_ACCMODE;
	return mode == O_RDONLY ? "r" : mode == O_WRONLY ? "w" : "rw";
}

static const char *plural(ct_u64 count)
{
	return count == 1 ? "" : "s";
}

static const char *policy_name(int policy)
{
	static const char *const names[] = {"other", "fifo", "rr", "batch", "iso", "idle", "deadline"};
	return policy >= 0 && policy < 7 ? names[policy] : "unknown";
}

/* ---- Text ---- */

static void named(struct ct_out *out, const char *what, const char *name)
{
	ct_out_str(out, what);
	ct_out_name(out, name ? name : "?", SIZE_MAX);
}

static void thread_text(struct ct_out *out, const struct ct_snap_thread *thread, bool current)
{
	char buf[CT_HUMAN];
	ct_out_fmt(out, "\n  thread %u", thread->tid);
	if (thread->ns_tid != thread->tid)
		ct_out_fmt(out, " (%u in its namespace)", thread->ns_tid);
	ct_out_str(out, " \"");
	ct_out_name(out, thread->comm, sizeof(thread->comm));
	ct_out_str(out, current ? "\", running" : "\"");
	if (thread->in_syscall >= 0)
		ct_out_fmt(out, ", in %s", ct_syscall_label(buf, thread->in_syscall));
	ct_out_char(out, '\n');
	for (unsigned i = 0; i < CT_NREGS; i++)
		ct_out_fmt(out, "%s%8s %016llx%s", i % 4 ? "  " : "    ", ct_reg_name(i),
			   (unsigned long long)thread->regs.r[i], i % 4 == 3 || i + 1 == CT_NREGS ? "\n" : "");
	ct_out_fmt(out, "    sigmask %#llx, pending %#llx, xsave %u bytes, %s/%d\n",
		   (unsigned long long)thread->sigmask, (unsigned long long)thread->pending, thread->xsave_len,
		   policy_name(thread->policy), thread->priority);
	ct_out_fmt(out, "    clear_child_tid %#llx, robust list %#llx, alternate stack %#llx+%#llx\n",
		   (unsigned long long)thread->clear_child_tid, (unsigned long long)thread->robust_list,
		   (unsigned long long)thread->altstack_sp, (unsigned long long)thread->altstack_size);
	if (thread->rseq.addr)
		ct_out_fmt(out, "    rseq %#llx, %u bytes, signature %#x\n", (unsigned long long)thread->rseq.addr,
			   thread->rseq.size, thread->rseq.sig);
}

static void handlers_text(struct ct_out *out, const struct ct_snap_proc *proc)
{
	char buf[CT_HUMAN];
	bool title = false;
	for (int sig = 1; sig <= 64; sig++) {
		const struct ct_snap_sigaction *sa = &proc->sigaction[sig - 1];
		if (!sa->handler)
			continue;
		if (!title)
			ct_out_str(out, "\n  signal handlers\n");
		title = true;
		ct_out_fmt(out, "    %-10s ", ct_signal_label(buf, sig));
		if (sa->handler == 1)
			ct_out_str(out, "ignored\n");
		else
			ct_out_fmt(out, "%#llx flags %#llx mask %#llx\n", (unsigned long long)sa->handler,
				   (unsigned long long)sa->flags, (unsigned long long)sa->mask);
	}
}

static void maps_text(struct ct_out *out, const struct ct_snap_proc *proc)
{
	ct_out_fmt(out, "\n  %u mapping%s\n", proc->nmaps, plural(proc->nmaps));
	for (ct_u32 i = 0; i < proc->nmaps; i++) {
		const struct ct_snap_map *map = &proc->maps[i];
		char prot[4];
		prot_text(prot, map->prot);
		ct_out_fmt(out, "    %012llx-%012llx %s%c %08llx", (unsigned long long)map->start,
			   (unsigned long long)map->end, prot, map->flags & CT_MAPF_SHARED ? 's' : 'p',
			   (unsigned long long)map->offset);
		if (map->name && *map->name)
			named(out, " ", map->name);
		bool any = false;
		for (const struct flag_name *flag = map_flags(); flag->name; flag++) {
			if (map->flags & flag->bit & ~(ct_u32)CT_MAPF_SHARED) {
				ct_out_fmt(out, "%s%s", any ? " " : "  [", flag->name);
				any = true;
			}
		}
		ct_out_str(out, any ? "]\n" : "\n");
	}
}

static void proc_text(struct ct_out *out, const struct ct_snapshot *snap, const struct ct_snap_proc *proc)
{
	char rss[CT_HUMAN];
	ct_out_fmt(out, "\nprocess %u", proc->pid);
	if (proc->ns_pid != proc->pid)
		ct_out_fmt(out, " (%u in its namespace)", proc->ns_pid);
	ct_out_str(out, " \"");
	ct_out_name(out, proc->comm, sizeof(proc->comm));
	ct_out_fmt(out, "\", parent %u, %s resident", proc->ppid, ct_human_bytes(rss, proc->rss_bytes));
	named(out, "\n  exe ", proc->exe);
	named(out, "\n  cwd ", proc->cwd);
	if (proc->root && strcmp(proc->root, "/") != 0)
		named(out, "\n  root ", proc->root);
	ct_out_fmt(out, "\n  code %#llx-%#llx data %#llx-%#llx brk %#llx-%#llx stack %#llx vdso %#llx\n",
		   (unsigned long long)proc->start_code, (unsigned long long)proc->end_code,
		   (unsigned long long)proc->start_data, (unsigned long long)proc->end_data,
		   (unsigned long long)proc->start_brk, (unsigned long long)proc->brk,
		   (unsigned long long)proc->start_stack, (unsigned long long)proc->vdso);
	ct_out_fmt(out, "  umask %04o, pending signals %#llx, personality %#llx\n", proc->umask,
		   (unsigned long long)proc->pending, (unsigned long long)proc->personality);
	for (ct_u32 i = 0; i < proc->nthreads; i++)
		thread_text(out, &proc->threads[i], proc->threads[i].tid == snap->current_tid);
	handlers_text(out, proc);
	maps_text(out, proc);
	ct_out_fmt(out, "\n  %u descriptor%s\n", proc->nfds, plural(proc->nfds));
	for (ct_u32 i = 0; i < proc->nfds; i++) {
		const struct ct_snap_fd *fd = &proc->fds[i];
		ct_out_fmt(out, "    %4d %-2s", fd->fd, access_mode(fd->flags));
		named(out, " ", fd->target);
		ct_out_fmt(out, fd->pos ? " at %llu\n" : "\n", (unsigned long long)fd->pos);
	}
}

static void snapshot_text(struct ct_out *out, const struct ct_snapshot *snap, const struct ct_snapshot_stats *stats)
{
	char taken[CT_HUMAN], stored[CT_HUMAN], pages[4][CT_HUMAN];
	ct_out_fmt(out, "snapshot %u (%s) at event %llu, %s UTC: %u process%s\n", snap->id,
		   ct_snapshot_kind_name(snap->kind), (unsigned long long)snap->seq,
		   ct_human_time(taken, snap->real_ns, false), snap->nprocs, snap->nprocs == 1 ? "" : "es");
	ct_out_fmt(out, "%s page%s: %s zero, %s kept here, %s kept by earlier snapshots; %s on disk\n",
		   ct_human_count(pages[0], stats->pages), plural(stats->pages), ct_human_count(pages[1], stats->zero),
		   ct_human_count(pages[2], stats->stored), ct_human_count(pages[3], stats->shared),
		   ct_human_bytes(stored, stats->bytes));
	for (ct_u32 i = 0; i < snap->nprocs; i++)
		proc_text(out, snap, &snap->procs[i]);
}

/* ---- JSON ---- */

static void thread_json(const struct ct_dump *dump, const struct ct_snap_thread *thread)
{
	struct ct_out *out = dump->out;
	char buf[CT_HUMAN];
	ct_json_open(out, NULL, '{');
	ct_json_u64(out, "tid", thread->tid);
	ct_json_u64(out, "ns_tid", thread->ns_tid);
	ct_json_strn(out, "comm", thread->comm, strnlen(thread->comm, sizeof(thread->comm)));
	ct_json_str(out, "in_syscall", thread->in_syscall >= 0 ? ct_syscall_label(buf, thread->in_syscall) : NULL);
	ct_json_open(out, "regs", '{');
	for (unsigned i = 0; i < CT_NREGS; i++)
		ct_json_hex(out, ct_reg_name(i), thread->regs.r[i]);
	ct_json_close(out, '}');
	ct_json_hex(out, "sigmask", thread->sigmask);
	ct_json_hex(out, "pending", thread->pending);
	ct_json_hex(out, "altstack_sp", thread->altstack_sp);
	ct_json_u64(out, "altstack_size", thread->altstack_size);
	ct_json_u64(out, "altstack_flags", thread->altstack_flags);
	ct_json_s64(out, "restart_nr", thread->restart_nr);
	ct_json_hex(out, "clear_child_tid", thread->clear_child_tid);
	ct_json_hex(out, "robust_list", thread->robust_list);
	ct_json_hex(out, "rseq_addr", thread->rseq.addr);
	ct_json_u64(out, "rseq_size", thread->rseq.size);
	ct_json_hex(out, "rseq_sig", thread->rseq.sig);
	ct_json_str(out, "policy", policy_name(thread->policy));
	ct_json_s64(out, "priority", thread->priority);
	ct_json_u64(out, "xsave_len", thread->xsave_len);
	if (dump->hex)
		ct_json_bytes(out, "xsave", thread->xsave, thread->xsave_len);
	ct_json_close(out, '}');
}

static void map_json(struct ct_out *out, const struct ct_snap_map *map)
{
	char prot[4], hash[33];
	prot_text(prot, map->prot);
	ct_json_open(out, NULL, '{');
	ct_json_hex(out, "start", map->start);
	ct_json_hex(out, "end", map->end);
	ct_json_str(out, "prot", prot);
	ct_json_hex(out, "offset", map->offset);
	ct_json_str(out, "name", map->name);
	ct_json_open(out, "flags", '[');
	for (const struct flag_name *flag = map_flags(); flag->name; flag++) {
		if (map->flags & flag->bit)
			ct_json_str(out, NULL, flag->name);
	}
	ct_json_close(out, ']');
	if (map->flags & CT_MAPF_FILE) {
		ct_hash_format(map->hash, hash);
		ct_json_str(out, "hash", hash);
	}
	ct_json_close(out, '}');
}

static void proc_json(const struct ct_dump *dump, const struct ct_snap_proc *proc)
{
	struct ct_out *out = dump->out;
	char buf[CT_HUMAN];
	const struct {
		const char *key;
		ct_u64 value;
	} addresses[] = {
		{"start_code", proc->start_code},   {"end_code", proc->end_code},   {"start_data", proc->start_data},
		{"end_data", proc->end_data},       {"start_brk", proc->start_brk}, {"brk", proc->brk},
		{"start_stack", proc->start_stack}, {"arg_start", proc->arg_start}, {"arg_end", proc->arg_end},
		{"env_start", proc->env_start},     {"env_end", proc->env_end},     {"vdso", proc->vdso},
		{"personality", proc->personality}, {"pending", proc->pending}};
	ct_json_open(out, NULL, '{');
	ct_json_u64(out, "pid", proc->pid);
	ct_json_u64(out, "ns_pid", proc->ns_pid);
	ct_json_u64(out, "ppid", proc->ppid);
	ct_json_strn(out, "comm", proc->comm, strnlen(proc->comm, sizeof(proc->comm)));
	ct_json_str(out, "exe", proc->exe);
	ct_json_str(out, "cwd", proc->cwd);
	ct_json_str(out, "root", proc->root);
	ct_json_u64(out, "rss_bytes", proc->rss_bytes);
	ct_json_u64(out, "umask", proc->umask);
	ct_json_u64(out, "dumpable", proc->dumpable);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		ct_json_hex(out, addresses[i].key, addresses[i].value);
	ct_json_open(out, "threads", '[');
	for (ct_u32 i = 0; i < proc->nthreads; i++)
		thread_json(dump, &proc->threads[i]);
	ct_json_close(out, ']');
	ct_json_open(out, "sigactions", '{');
	for (int sig = 1; sig <= 64; sig++) {
		const struct ct_snap_sigaction *sa = &proc->sigaction[sig - 1];
		if (!sa->handler)
			continue;
		ct_json_open(out, ct_signal_label(buf, sig), '{');
		ct_json_hex(out, "handler", sa->handler);
		ct_json_hex(out, "flags", sa->flags);
		ct_json_hex(out, "restorer", sa->restorer);
		ct_json_hex(out, "mask", sa->mask);
		ct_json_close(out, '}');
	}
	ct_json_close(out, '}');
	ct_json_open(out, "maps", '[');
	for (ct_u32 i = 0; i < proc->nmaps; i++)
		map_json(out, &proc->maps[i]);
	ct_json_close(out, ']');
	ct_json_open(out, "fds", '[');
	for (ct_u32 i = 0; i < proc->nfds; i++) {
		ct_json_open(out, NULL, '{');
		ct_json_s64(out, "fd", proc->fds[i].fd);
		ct_json_hex(out, "flags", proc->fds[i].flags);
		ct_json_u64(out, "pos", proc->fds[i].pos);
		ct_json_str(out, "target", proc->fds[i].target);
		ct_json_close(out, '}');
	}
	ct_json_close(out, ']');
	ct_json_close(out, '}');
}

static void snapshot_json(const struct ct_dump *dump, const struct ct_snapshot *snap,
			  const struct ct_snapshot_stats *stats)
{
	struct ct_out *out = dump->out;
	ct_json_open(out, NULL, '{');
	ct_json_u64(out, "id", snap->id);
	ct_json_str(out, "kind", ct_snapshot_kind_name(snap->kind));
	ct_json_u64(out, "seq", snap->seq);
	ct_json_u64(out, "mono_ns", snap->mono_ns);
	ct_json_u64(out, "real_ns", snap->real_ns);
	ct_json_u64(out, "current_tid", snap->current_tid);
	ct_json_u64(out, "pages", stats->pages);
	ct_json_u64(out, "pages_zero", stats->zero);
	ct_json_u64(out, "pages_stored", stats->stored);
	ct_json_u64(out, "pages_shared", stats->shared);
	ct_json_u64(out, "bytes", stats->bytes);
	ct_json_open(out, "procs", '[');
	for (ct_u32 i = 0; i < snap->nprocs; i++)
		proc_json(dump, &snap->procs[i]);
	ct_json_close(out, ']');
	ct_json_close(out, '}');
	ct_json_line(out);
}

int ct_dump_snapshot(const struct ct_dump *dump, struct ct_recording *rec, ct_u32 id, struct ct_error *err)
{
	struct ct_snapshot_reader *reader = ct_snapshot_open(ct_recording_dirfd(rec), id, err);
	struct ct_snapshot_stats stats;
	if (!reader)
		return -1;
	ct_snapshot_stats(reader, &stats);
	if (dump->json)
		snapshot_json(dump, ct_snapshot_get(reader), &stats);
	else
		snapshot_text(dump->out, ct_snapshot_get(reader), &stats);
	ct_snapshot_reader_close(reader);
	return 0;
}
