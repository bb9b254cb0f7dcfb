/* SPDX-License-Identifier: MIT
 * Writes a few good inputs for every fuzz target to DIR/<target>/, for the fuzzers to start from.
 *
 * Usage: make_seeds DIR */
#include "tests/unit/recording_helpers.h"
#include "tests/unit/stepdb_helpers.h"

static const char *out;

static void put_seed(const char *target, const char *name, const struct bytes *b)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", out, target);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", out, target, name);
	put_file(path, b->data, b->len);
}

/* One record of every kind with a variable part, and some without. */
static void all_records(struct bytes *b)
{
	struct ct_ev_syscall call = {.ret = 5, .nr = 0, .nbufs = 2, .ip = 0x401000};
	struct ct_ev_frame frame = {.sig = 10, .nbufs = 1};
	struct ct_ev_enter enter = {.nr = 60};
	struct ct_ev_signal sig = {.sig = 14, .flags = CT_SIGF_ASYNC};
	struct ct_ev_switch sw = {.to = 101, .to_pid = 100, .flags = CT_SWF_USER | CT_SWF_FPU};
	struct ct_ev_fork fork = {.child_tid = 101, .child_pid = 100};
	struct ct_ev_exec exec = {.old_tid = 100};
	struct ct_ev_rseq rseq = {.from_ip = 1};
	struct ct_ev_insn insn = {.kind = CT_INSN_RDTSC, .len = 2};
	struct ct_ev_data chunk = {.addr = 0x1000, .len = 8};
	struct ct_ev_file file = {.path_len = 4};
	struct ct_ev_function function = {.id = 1, .line = 3, .name_len = 4, .file_len = 6};
	struct ct_ev_call entered = {.function = 1, .depth = 1, .nargs = 1};
	struct ct_ev_lines lines = {.function = 1, .depth = 1, .count = 1};
	struct ct_ev_value value = {.kind = CT_KIND_STRING, .name_len = 1, .type_len = 3, .data_len = 4, .length = 4};
	struct ct_ev_message message = {.direction = CT_DIRECTION_OUT, .topic_len = 2, .data_len = 4, .length = 4};
	struct ct_ev_pause pause = {.off = 1, .why = CT_PAUSE_ASKED};
	struct ct_ev_return left = {.function = 1, .depth = 1, .flags = CT_LEFT_VALUE};
	struct {
		struct ct_buf buf;
		ct_u8 data[8];
	} bufs[2] = {{{.addr = 0x7000, .len = 5, .want = 5, .kind = CT_BUF_OUT, .arg = 1}, "hello"},
		     {{.addr = 0x8000, .len = 8, .want = 8, .kind = CT_BUF_IN, .arg = 2}, "goodbye"}};
	ct_u8 *tail = calloc(1, sizeof(struct ct_fingerprint) + sizeof(struct ct_fpu));

	add_event(b, CT_EV_SYSCALL, 1, 1, &call, sizeof(call), bufs, sizeof(bufs));
	add_event(b, CT_EV_ENTER, 2, 2, &enter, sizeof(enter), NULL, 0);
	add_event(b, CT_EV_SIGNAL, 3, 3, &sig, sizeof(sig), tail, sizeof(struct ct_fingerprint));
	add_event(b, CT_EV_FRAME, 4, 4, &frame, sizeof(frame), bufs, sizeof(bufs[0]));
	add_event(b, CT_EV_SWITCH, 5, 5, &sw, sizeof(sw), tail, sizeof(struct ct_fingerprint) + sizeof(struct ct_fpu));
	add_event(b, CT_EV_FORK, 6, 6, &fork, sizeof(fork), NULL, 0);
	add_event(b, CT_EV_EXEC, 7, 7, &exec, sizeof(exec), NULL, 0);
	add_exit(b, 8, 8);
	add_event(b, CT_EV_RSEQ, 9, 9, &rseq, sizeof(rseq), NULL, 0);
	add_event(b, CT_EV_INSN, 10, 10, &insn, sizeof(insn), NULL, 0);
	add_event(b, CT_EV_DATA, 11, 11, &chunk, sizeof(chunk), "12345678", 8);
	add_event(b, CT_EV_FILE, 12, 12, &file, sizeof(file), "/lib", 4);
	add_snapshot(b, 13, 13, 1, CT_SNAP_ATTACH);
	add_lost(b, 17, 17, 3);
	add_text(b, CT_EV_UNSOUND, 18, 18, "not sound");
	add_note(b, 19, 19);
	add_event(b, CT_EV_FUNCTION, 20, 20, &function, sizeof(function), "main/bin/a", 10);
	add_event(b, CT_EV_CALL, 21, 21, &entered, sizeof(entered), "12345678", 8);
	add_event(b, CT_EV_RETURN, 22, 22, &left, sizeof(left), NULL, 0);
	add_event(b, CT_EV_LINES, 23, 23, &lines, sizeof(lines), "1234", 4);
	add_event(b, CT_EV_VALUE, 24, 24, &value, sizeof(value), "nstrdata", 8);
	add_event(b, CT_EV_MESSAGE, 25, 25, &message, sizeof(message), "todata", 6);
	add_event(b, CT_EV_PAUSE, 26, 26, &pause, sizeof(pause), NULL, 0);
	free(tail);
}

static void segment_seeds(void)
{
	struct segment_maker m;
	struct bytes records = {0};

	all_records(&records);
	put_seed("fuzz_event", "all", &records);
	segment_start(&m, 1, 1, test_uuid, 0);
	segment_block(&m, &records);
	segment_end(&m, 0);
	put_seed("fuzz_segment", "all", &m.file);
	free(m.file.data);
	segment_of_notes(&m, 3, 2, 1);
	put_seed("fuzz_segment", "zstd", &m.file);
	m.file.len -= ct_footer_size(3);
	put_seed("fuzz_segment", "unclosed", &m.file);
	free(m.file.data);
}

/* Snapshot 2 that refers to snapshot 1 and has something of everything. */
static void snapshot_seed(int fd, const char *dir, int level, const char *name)
{
	static ct_u8 pages[3 * CT_PAGE] = "content of a page";
	ct_u8 xsave[64] = {1};
	struct ct_snap_thread thread = {.tid = 100, .xsave = xsave, .xsave_len = 64};
	struct ct_snap_map map = {.start = 0x10000, .end = 0x20000, .name = (char *)"[heap]"};
	struct ct_snap_fd file = {.fd = 1, .target = (char *)"/dev/null"};
	struct ct_snap_proc proc = {.pid = 100,
				    .exe = (char *)"/bin/x",
				    .nthreads = 1,
				    .threads = &thread,
				    .nmaps = 1,
				    .maps = &map,
				    .nfds = 1,
				    .fds = &file};
	struct ct_snapshot snap = {.id = 2, .nprocs = 1, .procs = &proc};
	struct ct_page_index *idx = ct_page_index_create();
	struct ct_snapshot_writer *w = ct_snapshot_writer_create(fd, 1, 1, idx, NULL);
	struct ct_snapshot first = {.id = 1};
	struct ct_error err = {0};
	struct bytes seed = {0};
	size_t state_len, pages_len;
	ct_u8 *state, *page_file;
	ct_u32 len;

	must(w && ct_snapshot_add_pages(w, 0, 0x10000, pages, 1, &err) == 0, err.msg);
	first.nprocs = 1;
	first.procs = &proc;
	must(ct_snapshot_writer_finish(w, &first, &err) == 0, err.msg);
	memset(pages + 2 * CT_PAGE, 'x', 100);
	w = ct_snapshot_writer_create(fd, 2, level, idx, &err);
	must(w && ct_snapshot_add_pages(w, 0, 0x10000, pages, 3, &err) == 0, err.msg);
	must(ct_snapshot_writer_finish(w, &snap, &err) == 0, err.msg);
	state = get_file(below(dir, "rec.ctr/snapshots/000002/state"), &state_len);
	page_file = get_file(below(dir, "rec.ctr/snapshots/000002/pages"), &pages_len);
	len = (ct_u32)state_len;
	bytes_add(&seed, &len, sizeof(len));
	bytes_add(&seed, state, state_len);
	bytes_add(&seed, page_file, pages_len);
	put_seed("fuzz_snapshot", name, &seed);
	free(seed.data);
	free(state);
	free(page_file);
	ct_page_index_destroy(idx);
}

static void snapshot_seeds(void)
{
	for (int level = 0; level < 2; level++) {
		char *dir = scratch_dir();
		int fd = make_recording(dir, "recording");

		snapshot_seed(fd, dir, level, level ? "zstd" : "plain");
		close(fd);
		scratch_remove(dir);
	}
}

static void manifest_seeds(void)
{
	static const char *const positions[] = {"t:+1.5ms",     "e:2",
						"t:12:30:05.5", "t:2026-11-22T12:30:05",
						"end",          "01020304-0506-7708-990a-0b0c0d0e0f10"};
	char *dir = scratch_dir();

	close(make_recording(dir, "complete"));
	for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
		struct bytes seed = {0};
		char name[16];
		size_t len;
		ct_u8 *text = get_file(below(dir, "rec.ctr/manifest.json"), &len);
		json_t *m = json_loadb((char *)text, len, 0, NULL);
		char *small;

		/* The CPU's leaves are long and nothing reads them here. */
		json_object_del(m, "cpu");
		small = json_dumps(m, JSON_COMPACT);
		bytes_add(&seed, small, strlen(small) + 1);
		bytes_add(&seed, positions[i], strlen(positions[i]));
		snprintf(name, sizeof(name), "%zu", i);
		put_seed("fuzz_manifest", name, &seed);
		json_decref(m);
		free(small);
		free(text);
		free(seed.data);
	}
	scratch_remove(dir);
}

static void stepdb_seed(unsigned kind, unsigned table, const void *data, size_t len)
{
	static unsigned n;
	struct bytes seed = {0};
	ct_u8 first = (ct_u8)(kind | table << 4);
	char name[16];

	bytes_add(&seed, &first, 1);
	bytes_add(&seed, data, len);
	snprintf(name, sizeof(name), "%u-%u-%u", kind, table, n++);
	put_seed("fuzz_stepdb", name, &seed);
	free(seed.data);
}

/* A small step database's files, and what is in their blocks. */
static void stepdb_seeds(void)
{
	char *dir = scratch_dir(), name[64];
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	struct ct_error err = {0};
	struct model m;

	model_start(&m, ct_stepdb_create(fd, "seed", test_uuid, &err), 5);
	for (unsigned i = 0; i < 300; i++)
		model_act(&m);
	must(ct_stepdb_commit(m.w, NULL, 0, false, &err) == 0, err.msg);
	ct_stepdb_writer_close(m.w);
	model_free(&m);
	for (unsigned k = 0; k < CT_NROWS; k++) {
		size_t len, pos = sizeof(struct sd_file_header);
		ct_u8 *data;

		snprintf(name, sizeof(name), "steps/%s", sd_file_names[k]);
		data = get_file(below(dir, name), &len);
		stepdb_seed(4, k, data, len);
		while (pos < len) {
			struct sd_block *h = (void *)(data + pos);
			ct_u8 raw[65536];

			if (h->kind == SD_CHUNK)
				stepdb_seed(1, k, h + 1, h->stored);
			else if (ZSTD_decompressDCtx(zstd, raw, sizeof(raw), h + 1, h->stored) == h->raw)
				stepdb_seed(h->kind == SD_PAGE ? 3 : 2, k, raw, h->raw);
			pos += sd_block_size(h->stored);
		}
		free(data);
	}
	stepdb_seed(0, 0, "\x10\x00\x07\x01\x01x\x0d\x00\x04\x01\x02\x00\x00", 13); /* {'x': [1]} */
	ZSTD_freeDCtx(zstd);
	close(fd);
	scratch_remove(dir);
}

/* See fuzz_dap.c for the first byte. */
static void dap_seeds(void)
{
	static const char *const seeds[] = {
		"\0Content-Length: 56\r\n\r\n{\"seq\":1,\"type\":\"request\",\"command\":\"initialize\",\"a\":0}",
		"\1a.b[-1]['k'] * (2 // 3) <= len(c) and not \"x\\n\" is None or d % 7.5 != 0x1f",
		"\2{\"type\":\"request\",\"command\":\"setBreakpoints\",\"arguments\":{\"source\":{\"path\":\"/src/"
		"file1.py\"},"
		"\"breakpoints\":[{\"line\":25,\"condition\":\"v1 > 3\"},{\"line\":26,\"hitCondition\":\"% "
		"2\"},{\"line\":27,"
		"\"logMessage\":\"{v2}\"}]}}\n"
		"{\"type\":\"request\",\"command\":\"continue\",\"arguments\":{\"threadId\":1}}\n"
		"{\"type\":\"request\",\"command\":\"stackTrace\",\"arguments\":{\"threadId\":1}}\n"
		"{\"type\":\"request\",\"command\":\"scopes\",\"arguments\":{\"frameId\":1}}\n"
		"{\"type\":\"request\",\"command\":\"variables\",\"arguments\":{\"variablesReference\":1}}\n"
		"{\"type\":\"request\",\"command\":\"evaluate\",\"arguments\":{\"expression\":\"seek "
		"s:90\",\"context\":\"repl\"}}\n"
		"{\"type\":\"request\",\"command\":\"reverseContinue\",\"arguments\":{\"threadId\":1}}\n"
		"{\"type\":\"request\",\"command\":\"threads\"}",
		"\3{\"type\":\"request\",\"command\":\"setExceptionBreakpoints\",\"arguments\":{\"filters\":["
		"\"raised\"],"
		"\"filterOptions\":[{\"filterId\":\"uncaught\",\"condition\":\"Error\"}]}}\n"
		"{\"type\":\"request\",\"command\":\"dataBreakpointInfo\",\"arguments\":{\"name\":\"v1\"}}\n"
		"{\"type\":\"request\",\"command\":\"setDataBreakpoints\",\"arguments\":{\"breakpoints\":[{\"dataId\":"
		"\"1/v1/v1\"},"
		"{\"dataId\":\"f3:v2\",\"condition\":\"v2 > 0\",\"hitCondition\":\">1\"}]}}\n"
		"{\"type\":\"request\",\"command\":\"setFunctionBreakpoints\",\"arguments\":{\"breakpoints\":[{"
		"\"name\":\"f3\"}]}}\n"
		"{\"type\":\"request\",\"command\":\"continue\"}\n{\"type\":\"request\",\"command\":\"exceptionInfo\"}"
		"\n"
		"{\"type\":\"request\",\"command\":\"next\"}\n{\"type\":\"request\",\"command\":\"stepOut\"}\n"
		"{\"type\":\"request\",\"command\":\"stepBack\"}\n{\"type\":\"request\",\"command\":\"ctbpf/"
		"stepBackOut\"}\n"
		"{\"type\":\"request\",\"command\":\"gotoTargets\",\"arguments\":{\"source\":{\"path\":\"x\"},\"line\":"
		"3}}\n"
		"{\"type\":\"request\",\"command\":\"loadedSources\"}\n"
		"{\"type\":\"request\",\"command\":\"source\",\"arguments\":{\"sourceReference\":1}}"};
	char name[16];

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		struct bytes b = {0};

		bytes_add(&b, seeds[i], 1);
		bytes_add(&b, seeds[i] + 1, strlen(seeds[i] + 1));
		snprintf(name, sizeof(name), "%zu", i);
		put_seed("fuzz_dap", name, &b);
		free(b.data);
	}
}

/* Requests: as packets, and what is in some of them. */
static void gdb_seeds(void)
{
	static const char *const seeds[] = {
		"+$qSupported:multiprocess+;swbreak+#c6", "$X1000,3:a}\x03}]#00", ";s:p1f.20;r10,20:p1f.21;C0b",
		"features:read:target.xml:0,ffb",         "2,7ffe0000,8",         "p-1.-1",
	};
	char name[16];

	for (unsigned i = 0; i < sizeof(seeds) / sizeof(*seeds); i++) {
		struct bytes b = {.data = (void *)seeds[i], .len = strlen(seeds[i])};

		snprintf(name, sizeof(name), "%u", i);
		put_seed("fuzz_gdb", name, &b);
	}
}

static void toml_seeds(void)
{
	static const char text[] =
		"# c\n[meta]\nname = \"a\\u00e4\"\nn = [1, 0x1F, 1_0.5e1, inf, true, 2026-11-23 10:00:00]\n[scope]\n"
		"default_exec = 'skip'\ndefault_value_action = \"redact\"\n[[scope.rules]]\nselector = "
		"\"pkg:glob:shop.*\"\n"
		"exec = \"trace\"\n[[scope.rules.value_patterns]]\nselector = \"arg:regex:^pass(word)?$\"\naction = "
		"\"drop\"\n"
		"[[scope.rules]]\nselector = \"\"\"obj:literal:a\\\n b\"\"\"\nvalue_patterns = [{ selector = "
		"'local:{a,[!b-c]}', "
		"action = \"allow\" }]\n";
	struct bytes b = {0};

	bytes_add(&b, text, sizeof(text) - 1);
	put_seed("fuzz_toml", "filter", &b);
	free(b.data);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIR\n", argv[0]);
		return 2;
	}
	out = argv[1];
	mkdir(out, 0700);
	segment_seeds();
	snapshot_seeds();
	manifest_seeds();
	stepdb_seeds();
	dap_seeds();
	gdb_seeds();
	toml_seeds();
	return 0;
}
