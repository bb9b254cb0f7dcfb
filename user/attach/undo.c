// SPDX-License-Identifier: MIT
/* CT_RUN_DIR/<pid>.json: what was changed in a process, so that `ctbpf detach` can put it back when the recorder was
 * killed. Root's own directory; a file counts only if the process still has the start time written in it. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/attach/target.h"

#define UNDO_VERSION 2

static void undo_path(char *out, size_t len, pid_t pid, const char *suffix)
{
	snprintf(out, len, CT_RUN_DIR "/%d.json%s", pid, suffix);
}

static void to_hex(const void *data, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", ((const unsigned char *)data)[i]);
	out[2 * len] = 0;
}

static bool from_hex(const char *text, void *data, size_t len)
{
	if (!text || strlen(text) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return false;
		((unsigned char *)data)[i] = byte;
	}
	return true;
}

static json_t *thread_json(const struct ct_thread *th)
{
	char mask[2 * sizeof(cpu_set_t) + 1];

	to_hex(&th->affinity, sizeof(th->affinity), mask);
	return json_pack("{s:i, s:s, s:i, s:i, s:I, s:i, s:I}", "tid", th->tid, "affinity", mask, "policy", th->policy,
			 "priority", th->priority, "rseq_addr", (json_int_t)th->rseq.addr, "rseq_size",
			 (int)th->rseq.size, "rseq_sig", (json_int_t)th->rseq.sig);
}

static json_t *target_json(const struct ct_target *t)
{
	json_t *threads = json_array(), *patches = json_array();
	char hex[2 * CT_PATCH_MAX + 1];

	for (size_t i = 0; i < t->nthreads; i++)
		if (t->threads[i].saved)
			json_array_append_new(threads, thread_json(&t->threads[i]));
	for (unsigned i = 0; i < t->npatches; i++) {
		to_hex(t->patch[i].orig, t->patch[i].len, hex);
		json_array_append_new(patches,
				      json_pack("{s:i, s:s}", "offset", (int)t->patch[i].offset, "bytes", hex));
	}
	return json_pack("{s:i, s:i, s:i, s:I, s:i, s:I, s:i, s:I, s:s, s:I, s:I, s:o, s:o}", "version", UNDO_VERSION,
			 "cpu", t->pin.cpu, "set_policy", t->pin.policy, "own_page", (json_int_t)t->own_page, "pid",
			 t->pid, "start_time", (json_int_t)t->start_time, "recorder", (int)getpid(), "recorder_start",
			 (json_int_t)ct_proc_stat(getpid(), getpid(), 22), "comm", t->comm, "vdso", (json_int_t)t->vdso,
			 "vdso_len", (json_int_t)t->vdso_len, "patches", patches, "threads", threads);
}

/* Whether somebody else has changed this very process: files of earlier ones of that number do not count. */
static int check_claim(const struct ct_target *t, const char *path, struct ct_error *err)
{
	json_t *root = json_load_file(path, 0, NULL);
	pid_t recorder = json_integer_value(json_object_get(root, "recorder"));
	bool same = root && (ct_u64)json_integer_value(json_object_get(root, "start_time")) == t->start_time;
	bool lives = ct_proc_stat(recorder, recorder, 22) ==
		     (ct_u64)json_integer_value(json_object_get(root, "recorder_start"));

	json_decref(root);
	if (!same || (lives && recorder == getpid()))
		return 0;
	if (lives)
		return ct_fail(err, CT_EXIT_NOT_ATTACHED, "cannot attach to %d (%s): process %d records it already",
			       t->pid, t->comm, recorder);
	return ct_fail(err, CT_EXIT_NOT_ATTACHED,
		       "cannot attach to %d (%s): a recorder that was killed has left it changed; run `ctbpf detach -p "
		       "%d` first",
		       t->pid, t->comm, t->pid);
}

static int write_file(const struct ct_target *t, struct ct_error *err)
{
	char path[64], tmp[64];
	json_t *root;
	int fd, ret = -1;

	undo_path(path, sizeof(path), t->pid, "");
	undo_path(tmp, sizeof(tmp), t->pid, ".tmp");
	if (check_claim(t, path, err))
		return -1;
	root = target_json(t);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && root)
		ret = json_dumpfd(root, fd, JSON_COMPACT);
	if (fd >= 0)
		close(fd);
	if (!ret)
		ret = rename(tmp, path);
	if (ret) {
		ct_fail_errno(err, CT_EXIT_FAILED, "cannot write %s", path);
		unlink(tmp);
	}
	json_decref(root);
	return ret;
}

int ct_undo_save(const struct ct_target *t, struct ct_error *err)
{
	int lock, ret;

	if (ct_rundir_make(err))
		return -1;
	/* Two recorders that start at the same moment have both found the process free: here one of them comes first.
	 */
	lock = open(CT_RUN_DIR "/lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX)) {
		ret = ct_fail_errno(err, CT_EXIT_FAILED, "cannot lock " CT_RUN_DIR "/lock");
	} else {
		ret = write_file(t, err);
	}
	if (lock >= 0)
		close(lock);
	return ret;
}

static void load_thread(struct ct_target *t, const json_t *obj)
{
	struct ct_thread *th = &t->threads[t->nthreads];

	memset(th, 0, sizeof(*th));
	th->tid = json_integer_value(json_object_get(obj, "tid"));
	th->policy = json_integer_value(json_object_get(obj, "policy"));
	th->priority = json_integer_value(json_object_get(obj, "priority"));
	th->rseq.addr = json_integer_value(json_object_get(obj, "rseq_addr"));
	th->rseq.size = json_integer_value(json_object_get(obj, "rseq_size"));
	th->rseq.sig = json_integer_value(json_object_get(obj, "rseq_sig"));
	th->saved = from_hex(json_string_value(json_object_get(obj, "affinity")), &th->affinity, sizeof(th->affinity));
	if (th->tid > 0)
		t->nthreads++;
}

int ct_undo_load(struct ct_target *t, pid_t *recorder, struct ct_error *err)
{
	json_t *root, *array, *item;
	char path[64];
	size_t i;

	undo_path(path, sizeof(path), t->pid, "");
	root = json_load_file(path, 0, NULL);
	if (!root) {
		if (access(path, F_OK))
			return 0;
		return ct_fail(err, CT_EXIT_FAILED, "%s is damaged; what was changed in %d cannot be put back", path,
			       t->pid);
	}
	if (json_integer_value(json_object_get(root, "version")) != UNDO_VERSION) {
		json_decref(root);
		return ct_fail(err, CT_EXIT_FAILED, "%s was written by another version of ctbpf: detach with that one",
			       path);
	}
	if ((ct_u64)json_integer_value(json_object_get(root, "start_time")) != t->start_time) {
		json_decref(root); /* another process that had this number */
		unlink(path);
		return 0;
	}
	*recorder = json_integer_value(json_object_get(root, "recorder"));
	if (ct_proc_stat(*recorder, *recorder, 22) !=
		    (ct_u64)json_integer_value(json_object_get(root, "recorder_start")) ||
	    ct_proc_stat(*recorder, *recorder, 3) == 'Z')
		*recorder = 0; /* killed; maybe nobody has waited for it yet */
	t->pin.cpu = json_integer_value(json_object_get(root, "cpu"));
	t->pin.policy = json_integer_value(json_object_get(root, "set_policy"));
	t->own_page = json_integer_value(json_object_get(root, "own_page"));
	if (json_is_true(json_object_get(root, "own_page"))) /* as written before it had several places */
		t->own_page = CT_OWN_PAGE_LOW;
	t->vdso = json_integer_value(json_object_get(root, "vdso"));
	t->vdso_len = json_integer_value(json_object_get(root, "vdso_len"));
	array = json_object_get(root, "patches");
	t->npatches = 0;
	json_array_foreach (array, i, item) {
		struct ct_vdso_patch *p = &t->patch[t->npatches];
		const char *hex = json_string_value(json_object_get(item, "bytes"));

		p->offset = json_integer_value(json_object_get(item, "offset"));
		p->len = hex ? strlen(hex) / 2 : 0;
		if (t->npatches < CT_VDSO_PATCHES && p->len && p->len <= CT_PATCH_MAX && p->offset < t->vdso_len &&
		    from_hex(hex, p->orig, p->len))
			t->npatches++;
	}
	array = json_object_get(root, "threads");
	free(t->threads);
	t->nthreads = 0;
	t->threads = calloc(json_array_size(array) + 1, sizeof(*t->threads));
	json_array_foreach (array, i, item)
		if (t->threads)
			load_thread(t, item);
	t->changed = true;
	json_decref(root);
	return 1;
}

void ct_undo_forget(const struct ct_target *t)
{
	char path[64];

	undo_path(path, sizeof(path), t->pid, "");
	unlink(path);
	undo_path(path, sizeof(path), t->pid, ".tmp");
	unlink(path);
}
