/* SPDX-License-Identifier: MIT
 * Snapshots: the state of processes, threads, maps and descriptors comes back.
 *
 * test_snapshot.c is about pages and damage. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/recording_helpers.h"

static char *dir;
static int rec = -1;

static void setup(void)
{
	dir = scratch_dir();
	rec = make_recording(dir, "recording");
}

static void teardown(void)
{
	close(rec);
	scratch_remove(dir);
}

/* The smallest state: nprocs processes with nothing in them. */
static struct ct_snapshot plain(ct_u32 id, ct_u32 nprocs)
{
	return (struct ct_snapshot){
		.id = id,
		.kind = CT_SNAP_ATTACH,
		.seq = 1,
		.nprocs = nprocs,
		.procs = calloc(nprocs, sizeof(struct ct_snap_proc)),
	};
}

static struct ct_snapshot_reader *open_good(ct_u32 id)
{
	struct ct_error err = {0};
	struct ct_snapshot_reader *r = ct_snapshot_open(rec, id, &err);

	cr_assert(r != NULL, "%s", err.msg);
	return r;
}

TestSuite(snapshot_state, .init = setup, .fini = teardown);

static struct ct_snap_thread make_thread(ct_u32 tid, ct_u32 xsave_len)
{
	struct ct_snap_thread t = {
		.tid = tid,
		.ns_tid = tid + 1,
		.comm = "worker",
		.in_syscall = 202,
		.flags = 3,
		.sigmask = 0x1122334455667788,
		.pending = 4,
		.altstack_sp = 0x7000,
		.altstack_size = 0x4000,
		.altstack_flags = 2,
		.restart_nr = -1,
		.clear_child_tid = 0x7f0000001000,
		.robust_list = 0x7f0000002000,
		.robust_len = 24,
		.rseq = {.addr = 0x7f0000003000, .size = 32, .sig = 0x53053053, .flags = 1},
		.policy = 2,
		.priority = 5,
		.xsave = malloc(xsave_len),
		.xsave_len = xsave_len,
	};

	for (int i = 0; i < CT_NREGS; i++)
		t.regs.r[i] = tid * 1000ull + (ct_u64)i;
	memset(t.xsave, (int)tid, xsave_len);
	return t;
}

static struct ct_snap_map make_map(ct_u64 start, const char *name)
{
	struct ct_snap_map m = {
		.start = start,
		.end = start + 0x3000,
		.prot = 5,
		.flags = CT_MAPF_FILE,
		.offset = 0x1000,
		.file = {.dev = 0x800001,
			 .ino = 77,
			 .ctime_s = -5,
			 .ctime_ns = 6,
			 .flags = 1,
			 .size = 9,
			 .offset = 1,
			 .len = 2},
		.name = strdup(name),
	};

	memset(m.hash, 0xab, sizeof(m.hash));
	return m;
}

static struct ct_snap_proc make_proc(ct_u32 pid, ct_u32 nthreads, ct_u32 nmaps, ct_u32 nfds)
{
	struct ct_snap_proc p = {
		.pid = pid,
		.ns_pid = 1,
		.ppid = 7,
		.flags = 8,
		.comm = "server",
		.exe = strdup("/usr/bin/server"),
		.cwd = strdup("/srv"),
		.root = strdup("/"),
		.start_time = 123456,
		.start_code = 1,
		.end_code = 2,
		.start_data = 3,
		.end_data = 4,
		.start_brk = 5,
		.brk = 6,
		.start_stack = 7,
		.arg_start = 8,
		.arg_end = 9,
		.env_start = 10,
		.env_end = 11,
		.vdso = 0x7ffff000,
		.personality = 0x40000,
		.pending = 0x80,
		.rss_bytes = 1 << 20,
		.umask = 022,
		.dumpable = 1,
		.auxv = malloc(320),
		.auxv_len = 320,
		.nthreads = nthreads,
		.nmaps = nmaps,
		.nfds = nfds,
		.threads = calloc(nthreads + 1, sizeof(struct ct_snap_thread)),
		.maps = calloc(nmaps + 1, sizeof(struct ct_snap_map)),
		.fds = calloc(nfds + 1, sizeof(struct ct_snap_fd)),
	};

	memset(p.auxv, 0x5a, 320);
	for (int i = 0; i < 64; i++)
		p.sigaction[i] = (struct ct_snap_sigaction){(ct_u64)i, 2, 3, 4};
	for (ct_u32 i = 0; i < nthreads; i++)
		p.threads[i] = make_thread(pid + i, 832 + 13 * i);
	for (ct_u32 i = 0; i < nmaps; i++)
		p.maps[i] = make_map(0x400000 + 0x10000ull * i, i ? "/usr/lib/libc.so.6" : "");
	for (ct_u32 i = 0; i < nfds; i++)
		p.fds[i] = (struct ct_snap_fd){
			.fd = (ct_s32)i, .flags = 2, .pos = i * 10ull, .target = strdup("pipe:[1]")};
	return p;
}

static struct ct_snapshot make_state(ct_u32 id)
{
	struct ct_snapshot snap = plain(id, 2);

	snap.kind = CT_SNAP_PERIODIC;
	snap.seq = 4711;
	snap.mono_ns = 111;
	snap.real_ns = 222;
	snap.current_tid = 101;
	snap.procs[0] = make_proc(100, 3, 4, 5);
	snap.procs[1] = make_proc(200, 1, 0, 1);
	return snap;
}

/* Writes the state and opens it again. */
static struct ct_snapshot_reader *round_trip(const struct ct_snapshot *snap)
{
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, snap->id, 1, NULL, &err);

	cr_assert(w != NULL, "%s", err.msg);
	cr_assert(ct_snapshot_writer_finish(w, snap, &err) == 0, "%s", err.msg);
	return open_good(snap->id);
}

Test(snapshot_state, head_comes_back)
{
	struct ct_snapshot snap = make_state(3);
	struct ct_snapshot_reader *r = round_trip(&snap);
	const struct ct_snapshot *got = ct_snapshot_get(r);

	cr_assert(eq(u32, got->id, 3));
	cr_assert(eq(u32, got->kind, CT_SNAP_PERIODIC));
	cr_assert(eq(u64, got->seq, 4711));
	cr_assert(eq(u64, got->mono_ns, 111));
	cr_assert(eq(u64, got->real_ns, 222));
	cr_assert(eq(u32, got->current_tid, 101));
	cr_assert(eq(u32, got->nprocs, 2));
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, processes_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 p = 0; p < 2; p++) {
		const struct ct_snap_proc *a = &snap.procs[p], *b = &ct_snapshot_get(r)->procs[p];
		struct ct_snap_proc x = *a, y = *b;

		cr_assert(eq(str, a->exe, b->exe));
		cr_assert(eq(str, a->cwd, b->cwd));
		cr_assert(eq(str, a->root, b->root));
		cr_assert(memcmp(a->auxv, b->auxv, a->auxv_len) == 0);
		x.exe = x.cwd = x.root = y.exe = y.cwd = y.root = NULL;
		x.auxv = y.auxv = NULL;
		x.threads = y.threads = NULL;
		x.maps = y.maps = NULL;
		x.fds = y.fds = NULL;
		/* Whatever is no pointer, padding aside, is equal. */
		cr_assert(memcmp(x.comm, y.comm, 16) == 0);
		cr_assert(memcmp(&x.start_time, &y.start_time,
				 offsetof(struct ct_snap_proc, auxv) - offsetof(struct ct_snap_proc, start_time)) == 0);
		cr_assert(x.pid == y.pid && x.ns_pid == y.ns_pid && x.ppid == y.ppid && x.flags == y.flags);
		cr_assert(x.nthreads == y.nthreads && x.nmaps == y.nmaps && x.nfds == y.nfds);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, threads_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 3; i++) {
		struct ct_snap_thread a = snap.procs[0].threads[i], b = ct_snapshot_get(r)->procs[0].threads[i];

		cr_assert(eq(u32, a.xsave_len, b.xsave_len));
		cr_assert(memcmp(a.xsave, b.xsave, a.xsave_len) == 0);
		a.xsave = b.xsave = NULL;
		cr_assert(memcmp(&a, &b, sizeof(a)) == 0, "thread %u", i);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, maps_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 4; i++) {
		struct ct_snap_map a = snap.procs[0].maps[i], b = ct_snapshot_get(r)->procs[0].maps[i];

		cr_assert(eq(str, a.name, b.name));
		a.name = b.name = NULL;
		cr_assert(memcmp(&a, &b, sizeof(a)) == 0, "map %u", i);
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, descriptors_come_back)
{
	struct ct_snapshot snap = make_state(1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	for (ct_u32 i = 0; i < 5; i++) {
		const struct ct_snap_fd *a = &snap.procs[0].fds[i], *b = &ct_snapshot_get(r)->procs[0].fds[i];

		cr_assert(a->fd == b->fd && a->flags == b->flags && a->pos == b->pos);
		cr_assert(eq(str, a->target, b->target));
	}
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, missing_strings_come_back_empty)
{
	struct ct_snapshot snap = plain(1, 1);
	struct ct_snapshot_reader *r = round_trip(&snap);

	cr_assert(eq(str, ct_snapshot_get(r)->procs[0].exe, (char *)""));
	ct_snapshot_reader_close(r);
	ct_snapshot_deinit(&snap);
}

Test(snapshot_state, overlapping_maps_are_refused)
{
	struct ct_snapshot snap = plain(1, 1);
	struct ct_error err = {0};
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(rec, 1, 1, NULL, &err);

	snap.procs[0].nmaps = 2;
	snap.procs[0].maps = calloc(2, sizeof(struct ct_snap_map));
	snap.procs[0].maps[0] = make_map(0x2000, "");
	snap.procs[0].maps[1] = make_map(0x4000, "");
	cr_assert(ct_snapshot_writer_finish(w, &snap, &err) == -1);
	cr_assert(strstr(err.msg, "mapping 1") != NULL, "%s", err.msg);
	ct_snapshot_deinit(&snap);
}
