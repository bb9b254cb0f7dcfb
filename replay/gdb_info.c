// SPDX-License-Identifier: MIT
/* What gdb asks for by qXfer: the auxiliary vector, the program's path, its libraries, its threads, the signal. */
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "replay/gdb_priv.h"

#define MOST_LIBRARIES 4096
#define MOST_HEADERS   64

static bool read_memory(struct ct_gdb *g, ct_u64 addr, void *buf, size_t len)
{
	return !ct_session_read(ct_timeline_session(g->tl), ct_timeline_pid(g->tl), addr, buf, len, NULL);
}

static bool read_string(struct ct_gdb *g, ct_u64 addr, char *text, size_t room)
{
	for (size_t i = 0; i < room; i++)
		if (!read_memory(g, addr + i, text + i, 1))
			return false;
		else if (!text[i])
			return true;
	return false;
}

const struct ct_snap_proc *ct_gdb_process(struct ct_gdb *g, struct ct_snapshot_reader **snap)
{
	const struct ct_snapshot *sn;

	*snap = ct_snapshot_open(ct_recording_dirfd(ct_timeline_recording(g->tl)), ct_timeline_snapshot(g->tl), NULL);
	if (!*snap)
		return NULL;
	sn = ct_snapshot_get(*snap);
	for (ct_u32 i = 0; i < sn->nprocs; i++)
		if (sn->procs[i].pid == ct_timeline_pid(g->tl))
			return &sn->procs[i];
	ct_snapshot_reader_close(*snap);
	*snap = NULL;
	return NULL;
}

static bool put_auxv(struct ct_gdb *g)
{
	struct ct_snapshot_reader *snap;
	const struct ct_snap_proc *p = ct_gdb_process(g, &snap);

	if (!p)
		return false;
	ct_gdb_put(&g->text, p->auxv, p->auxv_len);
	ct_snapshot_reader_close(snap);
	return true;
}

static bool put_exec_file(struct ct_gdb *g)
{
	struct ct_snapshot_reader *snap;
	const struct ct_snap_proc *p = ct_gdb_process(g, &snap);

	if (!p)
		return false;
	ct_gdb_putf(&g->text, "%s", p->exe);
	ct_snapshot_reader_close(snap);
	return true;
}

static bool put_threads(struct ct_gdb *g)
{
	struct ct_session_thread *list;
	size_t n;

	if (ct_session_threads(ct_timeline_session(g->tl), &list, &n, NULL))
		return false;
	ct_gdb_putf(&g->text, "<?xml version=\"1.0\"?><threads>");
	for (size_t i = 0; i < n; i++) {
		if (list[i].pid != ct_timeline_pid(g->tl))
			continue;
		ct_gdb_putf(&g->text, "<thread id=\"");
		ct_gdb_put_thread(g, &g->text, list[i].tid);
		ct_gdb_putf(&g->text, "\" name=\"");
		ct_gdb_put_xml(&g->text, list[i].comm);
		ct_gdb_putf(&g->text, "\">%s</thread>",
			    list[i].current   ? "runs"
			    : list[i].nr >= 0 ? "in a system call"
					      : "waits for the CPU");
	}
	ct_gdb_putf(&g->text, "</threads>");
	free(list);
	return true;
}

/* ---- libraries -------------------------------------------------------------------------------------------------- */

/* Address of the dynamic linker's r_debug, by way of the program headers that the auxiliary vector tells of. */
static ct_u64 find_r_debug(struct ct_gdb *g)
{
	struct ct_snapshot_reader *snap;
	const struct ct_snap_proc *p = ct_gdb_process(g, &snap);
	ct_u64 phdr = 0, phnum = 0, dynamic = 0, base = 0;
	Elf64_Phdr ph;
	Elf64_Dyn dyn;

	for (size_t i = 0; p && i + 16 <= p->auxv_len; i += 16) {
		ct_u64 av[2];

		memcpy(av, p->auxv + i, sizeof(av));
		if (av[0] == AT_PHDR)
			phdr = av[1];
		else if (av[0] == AT_PHNUM)
			phnum = av[1];
	}
	ct_snapshot_reader_close(snap);
	for (ct_u64 i = 0; i < phnum && i < MOST_HEADERS; i++) {
		if (!read_memory(g, phdr + i * sizeof(ph), &ph, sizeof(ph)))
			return 0;
		if (ph.p_type == PT_PHDR)
			base = phdr - ph.p_vaddr;
		else if (ph.p_type == PT_DYNAMIC)
			dynamic = ph.p_vaddr;
	}
	for (unsigned i = 0; dynamic && i < 256; i++) {
		if (!read_memory(g, base + dynamic + i * sizeof(dyn), &dyn, sizeof(dyn)) || dyn.d_tag == DT_NULL)
			return 0;
		if (dyn.d_tag == DT_DEBUG)
			return dyn.d_un.d_ptr;
	}
	return 0;
}

static bool put_libraries(struct ct_gdb *g)
{
	const ct_u64 at = find_r_debug(g);
	struct r_debug rd = {0};
	struct link_map lm;
	char name[4096];
	ct_u64 addr;

	if (at && !read_memory(g, at, &rd, sizeof(rd)))
		return false;
	addr = (ct_u64)(uintptr_t)rd.r_map;
	ct_gdb_putf(&g->text, "<library-list-svr4 version=\"1.0\"");
	if (addr)
		ct_gdb_putf(&g->text, " main-lm=\"0x%llx\"", (unsigned long long)addr);
	ct_gdb_putf(&g->text, ">");
	for (unsigned i = 0; addr && i < MOST_LIBRARIES && read_memory(g, addr, &lm, sizeof(lm)); i++) {
		if (i && read_string(g, (ct_u64)(uintptr_t)lm.l_name, name, sizeof(name)) && *name) {
			ct_gdb_putf(&g->text, "<library name=\"");
			ct_gdb_put_xml(&g->text, name);
			ct_gdb_putf(&g->text, "\" lm=\"0x%llx\" l_addr=\"0x%llx\" l_ld=\"0x%llx\" lmid=\"0x0\"/>",
				    (unsigned long long)addr, (unsigned long long)lm.l_addr,
				    (unsigned long long)(uintptr_t)lm.l_ld);
		}
		addr = (ct_u64)(uintptr_t)lm.l_next;
	}
	ct_gdb_putf(&g->text, "</library-list-svr4>");
	return true;
}

/* ---- the signal ------------------------------------------------------------------------------------------------- */

static bool put_siginfo(struct ct_gdb *g)
{
	struct ct_moment now;
	struct ct_cursor *cur;
	const struct ct_event *ev;
	bool found = false;

	if (g->last.why != CT_ARRIVED_SIGNAL || ct_timeline_now(g->tl, &now, NULL))
		return false;
	cur = ct_cursor_create(ct_timeline_recording(g->tl), NULL);
	if (cur && !ct_cursor_seek_seq(cur, now.next - 1, NULL) && ct_cursor_next(cur, &ev, NULL) > 0 &&
	    ev->type == CT_EV_SIGNAL) {
		const struct ct_ev_signal *sig = (const void *)(ev + 1);
		siginfo_t si;

		memset(&si, 0, sizeof(si));
		si.si_signo = sig->sig;
		si.si_code = sig->code;
		if (sig->flags & CT_SIGF_SYNC)
			si.si_addr = (void *)(uintptr_t)sig->fault_addr;
		ct_gdb_put(&g->text, &si, sizeof(si));
		found = true;
	}
	ct_cursor_destroy(cur);
	return found;
}

static bool put_features(struct ct_gdb *g)
{
	ct_gdb_describe_regs(g);
	return g->text.len;
}

void ct_gdb_xfer(struct ct_gdb *g, struct ct_gdb_text request)
{
	static const struct {
		const char *object;
		bool (*put)(struct ct_gdb *g);
	} objects[] = {
		{"features", put_features},        {"auxv", put_auxv},       {"exec-file", put_exec_file},
		{"libraries-svr4", put_libraries}, {"threads", put_threads}, {"siginfo", put_siginfo},
	};
	struct ct_gdb_xfer x;

	if (!ct_gdb_parse_xfer(request, &x))
		return;
	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++) {
		if (strcmp(objects[i].object, x.object) != 0)
			continue;
		if (x.offset && g->text.len) { /* the rest of what was asked for before */
			ct_gdb_put_part(&g->out, &x, g->text.data, g->text.len);
			return;
		}
		ct_gdb_clear(&g->text);
		if (objects[i].put(g) && !g->text.failed)
			ct_gdb_put_part(&g->out, &x, g->text.data ? g->text.data : "", g->text.len);
		else
			ct_gdb_putf(&g->out, "E01");
	}
}
