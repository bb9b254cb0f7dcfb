/* SPDX-License-Identifier: MIT
 * Fuzz target: a client of the Debug Adapter Protocol. The first byte says what the rest is: 0 the bytes of a
 * connection; 1 an expression; else requests, one a line, which are put into messages behind those that open a
 * recording.
 *
 * Nothing may crash, leak or go on for ever; a connection without sense ends. */
#include "replay/dap.h"
#include "replay/dap_expr.h"
#include "tests/unit/stepdb_helpers.h"

static char *dir, recording[512];

/* Replays need a whole machine: only what is decided before one begins is run here. */
struct dap_debuggee *dap_native_open(const char *path, ct_u32 pid, const struct dap_host *host, struct ct_error *err)
{
	(void)pid, (void)host;
	ct_fail(err, CT_EXIT_FAILED, "%s: no native code here", path);
	return NULL;
}

/* A recording with a step database of a random program, made once. */
static void make(void)
{
	struct ct_error err = {0};
	struct model m;
	int fd, ends[2];
	char c;

	setenv("TMPDIR", "/dev/shm", 1);
	dir = scratch_dir();
	/* The fuzzer ends without ceremony: somebody else sees to the directory then. */
	must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	if (fork() == 0) {
		close(ends[1]);
		while (read(ends[0], &c, 1) > 0)
			;
		scratch_remove(dir);
		_exit(0);
	}
	close(ends[0]);
	fd = make_recording(dir, "complete");
	snprintf(recording, sizeof(recording), "%s/rec.ctr", dir);
	put_notes(dir, 1, 1, 2, true);
	model_start(&m, ct_stepdb_create(fd, "fuzz", test_uuid, &err), 3);
	for (unsigned i = 0; i < 400; i++)
		model_act(&m);
	must(ct_stepdb_commit(m.w, NULL, 0, true, &err) == 0, err.msg);
	ct_stepdb_writer_close(m.w);
	model_free(&m);
	close(fd);
}

static void put(int fd, const void *data, size_t size)
{
	must(write(fd, data, size) == (ssize_t)size, "write");
}

static void put_message(int fd, const void *data, size_t size)
{
	char head[64];

	put(fd, head, (size_t)snprintf(head, sizeof(head), "Content-Length: %zu\r\n\r\n", size));
	put(fd, data, size);
}

static void talk(bool whole, const ct_u8 *data, size_t size)
{
	static const char *const opening[] = {
		"{\"seq\":1,\"type\":\"request\",\"command\":\"initialize\",\"arguments\":{}}",
		"{\"seq\":2,\"type\":\"request\",\"command\":\"launch\",\"arguments\":{}}",
		"{\"seq\":3,\"type\":\"request\",\"command\":\"configurationDone\"}"};
	static int in = -1, out = -1;
	struct ct_dap_options options = {.recording = recording};
	struct ct_error err = {0};

	if (in < 0) {
		in = memfd_create("in", MFD_CLOEXEC);
		out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	must(ftruncate(in, 0) == 0 && lseek(in, 0, SEEK_SET) == 0, "memfd");
	if (!whole) {
		put(in, data, size);
	} else {
		for (unsigned i = 0; i < 3; i++)
			put_message(in, opening[i], strlen(opening[i]));
		while (size) {
			const ct_u8 *end = memchr(data, '\n', size);
			size_t n = end ? (size_t)(end - data) : size;

			put_message(in, data, n);
			data += n + (end != NULL);
			size -= n + (end != NULL);
		}
	}
	lseek(in, 0, SEEK_SET);
	ct_dap_serve(in, out, &options, &err);
}

static int lookup(void *arg, const char *name, size_t len, const ct_u8 **node, size_t *n, struct ct_error *err)
{
	struct ct_node_builder *b = arg;

	(void)name, (void)err;
	ct_node_reset(b);
	ct_node_open(b, len % 2 ? CT_NODE_LIST : CT_NODE_DICT, NULL);
	ct_node_int(b, (ct_s64)len, NULL);
	ct_node_text(b, CT_NODE_STRING, "text", 4, &(struct ct_node_info){.truncated = len % 3 == 0});
	ct_node_close(b);
	*node = b->data;
	*n = b->len;
	return len < 9;
}

static void expression(const ct_u8 *data, size_t size)
{
	struct ct_node_builder b = {0};
	struct dap_scope scope = {.lookup = lookup, .arg = &b, .names = {NULL, NULL, NULL}};
	char *text = strndup((const char *)data, size), *shown;
	struct dap_result r;
	size_t n;

	if (dap_eval(text, &scope, &r, NULL) == 0) {
		dap_is_true(&r.value);
		shown = dap_value_text(&r.value, NULL, &n);
		free(shown);
		free(r.scratch);
	}
	ct_node_free(&b);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!dir)
		make();
	if (size > 1 && data[0] == 1)
		expression(data + 1, size - 1);
	else if (size > 1)
		talk(data[0] != 0, data + 1, size - 1);
	return 0;
}
