/* SPDX-License-Identifier: MIT
 * Survey of a target: the process itself - is it there, may we attach, who else holds it, what runs in it.
 *
 * Everything is read from /proc without stopping anything; whatever cannot be read is left out or said. */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../formats/probe.h"
#include "survey_priv.h"
#include "target.h"

#define PF_KTHREAD 0x00200000u /* of the kernel's task_struct.flags */

/* ---- Findings ---- */

const char *ct_severity_name(enum ct_severity severity)
{
	static const char *const names[] = {"ok", "note", "DEGRADES", "NO REPLAY", "BLOCKS"};
	return names[severity];
}

void ct_findings_deinit(struct ct_findings *f)
{
	free(f->item);
	*f = (struct ct_findings){0};
}

struct ct_finding *ct_finding_add(struct ct_findings *f, enum ct_severity severity, const char *id, const char *fix,
				  const char *fmt, ...)
{
	if (f->count == f->cap) {
		size_t cap = f->cap ? 2 * f->cap : 32;
		struct ct_finding *item = realloc(f->item, cap * sizeof(*item));
		if (!item) {
			f->out_of_memory = true;
			return NULL;
		}
		f->item = item;
		f->cap = cap;
	}
	struct ct_finding *finding = &f->item[f->count++];
	*finding = (struct ct_finding){.severity = severity};
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(finding->what, sizeof(finding->what), fmt, ap);
	va_end(ap);
	snprintf(finding->id, sizeof(finding->id), "%s", id);
	snprintf(finding->fix, sizeof(finding->fix), "%s", fix ? fix : "");
	return finding;
}

enum ct_severity ct_findings_worst(const struct ct_findings *f)
{
	enum ct_severity worst = CT_FIND_OK;
	for (size_t i = 0; i < f->count; i++) {
		if (f->item[i].severity > worst)
			worst = f->item[i].severity;
	}
	return worst;
}

const struct ct_finding *ct_findings_first(const struct ct_findings *f, enum ct_severity at_least)
{
	enum ct_severity worst = ct_findings_worst(f);
	const struct ct_finding *found = NULL;
	for (size_t i = 0; worst >= at_least && i < f->count && !found; i++) {
		if (f->item[i].severity == worst)
			found = &f->item[i];
	}
	return found;
}

const struct ct_finding *ct_findings_by_id(const struct ct_findings *f, const char *id)
{
	const struct ct_finding *found = NULL;
	for (size_t i = 0; i < f->count && !found; i++) {
		if (!strcmp(f->item[i].id, id))
			found = &f->item[i];
	}
	return found;
}

char *ct_target_label(char *buf, size_t len, pid_t pid)
{
	char comm[16];
	bool named = ct_proc_comm(pid, comm);
	for (char *c = comm; named && *c; c++)
		if (*c < ' ' || *c > '~') /* it goes to terminals */
			*c = '?';
	if (named)
		snprintf(buf, len, "%d (%s)", pid, comm);
	else
		snprintf(buf, len, "%d", pid);
	return buf;
}

int ct_survey_refusal(const struct ct_findings *f, pid_t pid, bool replay, struct ct_error *err)
{
	const struct ct_finding *worst = ct_findings_first(f, replay ? CT_FIND_BLOCKS_REPLAY : CT_FIND_BLOCKS);
	char label[48];
	if (!worst)
		return 0;
	/* Later findings of the same weight are better said at once than one attempt at a time. */
	size_t same = 0;
	for (size_t i = 0; i < f->count; i++)
		same += f->item[i].severity == worst->severity;
	ct_target_label(label, sizeof(label), pid);
	return ct_fail(err, worst->missing ? CT_EXIT_MISSING : CT_EXIT_NOT_ATTACHED, "cannot attach to %s: %s%s%s%s",
		       label, worst->what, worst->fix[0] ? "; " : "", worst->fix,
		       same > 1 ? " (`ctbpf check` lists more)" : "");
}

/* ---- Reading /proc ---- */

static char *read_all(int fd, size_t *len)
{
	size_t cap = 8192, used = 0;
	char *buf = malloc(cap);
	ssize_t n = buf ? 1 : -1;
	while (n > 0) {
		if (cap - used < 4097) {
			char *bigger = realloc(buf, cap * 2);
			if (!bigger) {
				n = -1;
				break;
			}
			buf = bigger;
			cap *= 2;
		}
		n = read(fd, buf + used, cap - used - 1);
		if (n > 0)
			used += (size_t)n;
		else if (n < 0 && errno == EINTR)
			n = 1;
	}
	if (n < 0) {
		int saved = errno;
		free(buf);
		errno = saved;
		return NULL;
	}
	buf[used] = '\0';
	if (len)
		*len = used;
	return buf;
}

char *ct_proc_read(pid_t pid, const char *name, size_t *len)
{
	char path[96];
	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	else
		snprintf(path, sizeof(path), "/proc/%s", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	char *text = read_all(fd, len);
	int saved = errno;
	close(fd);
	errno = saved;
	return text;
}

int ct_read_small(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, buf, len - 1);
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0)
		return -1;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

uint64_t ct_text_number(const char *text, const char *key, int base, uint64_t fallback)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, len) && (line[len] == ':' || line[len] == ' '))
			return strtoull(line + len + 1, NULL, base);
	}
	return fallback;
}

int ct_proc_link(pid_t pid, const char *name, char *buf, size_t len)
{
	char path[96];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	ssize_t n = readlink(path, buf, len - 1);
	if (n < 0)
		return -1;
	buf[n] = '\0';
	return 0;
}

bool ct_proc_comm(pid_t pid, char comm[16])
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	return !ct_read_small(path, comm, 16);
}

void ct_each_process(bool (*each)(void *ctx, pid_t pid), void *ctx)
{
	DIR *dir = opendir("/proc");
	bool more = dir != NULL;
	for (struct dirent *entry; more && (entry = readdir(dir));) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);
		if (pid > 0 && !*end)
			more = each(ctx, (pid_t)pid);
	}
	if (dir)
		closedir(dir);
}

/* ---- What the process is ---- */

static void no_process(struct ct_survey *s)
{
	ct_finding_add(s->f, CT_FIND_BLOCKS, "no_process", "look the PID up again, for example with pgrep",
		       "there is no such process");
}

/* Fields of /proc/PID/stat; false if it is gone. */
static bool read_stat(struct ct_survey *s)
{
	char *text = ct_proc_read(s->pid, "stat", NULL);
	char *after = text ? strrchr(text, ')') : NULL; /* the name may hold anything, parentheses too */
	char *name = text ? strchr(text, '(') : NULL;
	bool good = after && name && name < after &&
		    sscanf(after + 1, " %c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			   &s->state, &s->flags, (unsigned long long *)&s->start_time) == 3;
	if (good)
		snprintf(s->comm, sizeof(s->comm), "%.*s", (int)(after - name - 1), name + 1);
	free(text);
	return good;
}

static bool has_word(const char *text, const char *key, const char *word)
{
	const char *line = strstr(text, key);
	size_t len = line ? strcspn(line, "\n") : 0;
	const char *found = line ? strstr(line, word) : NULL;
	return found && found < line + len;
}

static bool read_status(struct ct_survey *s)
{
	char *text = ct_proc_read(s->pid, "status", NULL);
	if (!text || !*text) {
		free(text);
		return false;
	}
	pid_t tgid = (pid_t)ct_text_number(text, "Tgid", 10, (uint64_t)s->pid);
	if (tgid != s->pid) {
		char fix[48];
		snprintf(fix, sizeof(fix), "use -p %d", tgid);
		ct_finding_add(s->f, CT_FIND_BLOCKS, "thread", fix, "it is a thread of process %d", tgid);
	}
	s->tracer = (pid_t)ct_text_number(text, "TracerPid", 10, 0);
	s->uid = (unsigned)ct_text_number(text, "Uid", 10, 0);
	s->threads = (unsigned)ct_text_number(text, "Threads", 10, 1);
	s->cap_eff = ct_text_number(text, "CapEff", 16, 0);
	s->rss_anon = ct_text_number(text, "RssAnon", 10, 0) * 1024;
	s->rss_file = ct_text_number(text, "RssFile", 10, 0) * 1024;
	s->rss_shmem = ct_text_number(text, "RssShmem", 10, 0) * 1024;
	s->swap = ct_text_number(text, "VmSwap", 10, 0) * 1024;
	s->locked = ct_text_number(text, "VmLck", 10, 0) * 1024;
	s->seccomp = (int)ct_text_number(text, "Seccomp", 10, 0);
	s->dumping_core = ct_text_number(text, "CoreDumping", 10, 0) == 1;
	s->shadow_stack = has_word(text, "x86_Thread_features:", "shstk");
	free(text);
	return true;
}

/* A debugger may hold one thread only, and a filter may be on one thread only. */
static void read_threads(struct ct_survey *s)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", s->pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char name[300];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "task/%s/status", entry->d_name);
		char *text = ct_proc_read(s->pid, name, NULL);
		if (!text)
			continue;
		int seccomp = (int)ct_text_number(text, "Seccomp", 10, 0);
		if (!s->tracer)
			s->tracer = (pid_t)ct_text_number(text, "TracerPid", 10, 0);
		if (seccomp && (seccomp < s->seccomp || !s->seccomp))
			s->seccomp = seccomp; /* 1, strict, is stricter than 2, filter */
		free(text);
	}
	if (dir)
		closedir(dir);
}

static bool survey_state(struct ct_survey *s)
{
	if (s->flags & PF_KTHREAD) {
		ct_finding_add(s->f, CT_FIND_BLOCKS, "kernel_thread", "choose a user-space process",
			       "it is a kernel thread");
		return false;
	}
	if ((s->state == 'Z' || s->state == 'X') && s->threads > 1) {
		ct_finding_add(s->f, CT_FIND_BLOCKS, "zombie", NULL, "its main thread has exited, %u others live on",
			       s->threads - 1);
		return false;
	}
	if (s->state == 'Z' || s->state == 'X') {
		ct_finding_add(s->f, CT_FIND_BLOCKS, "zombie", "its parent has yet to wait for it",
			       "it is a zombie: it has exited already");
		return false;
	}
	if (s->dumping_core)
		ct_finding_add(s->f, CT_FIND_BLOCKS, "core_dump", NULL, "it is dumping core");
	if (s->state == 'T') {
		char fix[64];
		snprintf(fix, sizeof(fix), "let it go on first: kill -CONT %d", s->pid);
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "stopped", fix, "it is stopped (by a signal or its shell)");
	}
	if (s->state == 'D')
		ct_finding_add(s->f, CT_FIND_NOTE, "uninterruptible", NULL,
			       "it is in an uninterruptible wait; attaching has to wait for that to end");
	return true;
}

static void survey_tracer(struct ct_survey *s)
{
	char label[48], fix[96];
	if (!s->tracer)
		return;
	snprintf(fix, sizeof(fix), "end that tracer (a process can have only one)");
	ct_finding_add(s->f, CT_FIND_BLOCKS, "traced", fix, "it is traced by %s",
		       ct_target_label(label, sizeof(label), s->tracer));
}

/* Opening /proc/PID/mem asks the kernel the same question as attaching does, and changes nothing. */
static void survey_access(struct ct_survey *s)
{
	char path[64], scope[16];
	snprintf(path, sizeof(path), "/proc/%d/mem", s->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return;
	}
	if (errno != EACCES && errno != EPERM)
		return; /* gone, or no memory: others say so */
	struct ct_finding *finding;
	char *own = ct_proc_read(getpid(), "status", NULL);
	bool capable = own && ct_text_number(own, "CapEff", 16, 0) >> CAP_SYS_PTRACE & 1;
	free(own);
	if (capable)
		finding = ct_finding_add(s->f, CT_FIND_BLOCKS, "permission",
					 "run ctbpf in the initial user namespace, outside of containers and sandboxes",
					 "the kernel does not let even you, with CAP_SYS_PTRACE, attach: it belongs to "
					 "another user namespace, or a security module protects it");
	else if (s->uid != geteuid())
		finding = ct_finding_add(s->f, CT_FIND_BLOCKS, "permission",
					 "run ctbpf as root (it needs CAP_SYS_PTRACE)",
					 "it belongs to user %u and you are user %u", s->uid, geteuid());
	else if (!ct_read_small("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) && scope[0] != '0')
		finding = ct_finding_add(s->f, CT_FIND_BLOCKS, "permission",
					 scope[0] == '3' ? "kernel.yama.ptrace_scope is 3 until the next boot"
							 : "run ctbpf as root, or set kernel.yama.ptrace_scope to 0",
					 "the kernel lets only descendants be attached (yama.ptrace_scope %s)", scope);
	else
		finding = ct_finding_add(
			s->f, CT_FIND_BLOCKS, "permission", "run ctbpf as root (it needs CAP_SYS_PTRACE)",
			"the kernel does not let you attach (it changed its user, or is not dumpable)");
	if (finding)
		finding->missing = true;
}

static void survey_self(struct ct_survey *s)
{
	if (s->pid == getpid())
		ct_finding_add(s->f, CT_FIND_BLOCKS, "self", NULL, "it is ctbpf itself");
	else if (s->pid == 1)
		ct_finding_add(s->f, CT_FIND_NOTE, "init", NULL,
			       "it is init: the whole system waits while it is stopped");
}

static void survey_namespaces(struct ct_survey *s)
{
	static const struct {
		const char *name, *text;
	} spaces[] = {{"ns/pid", "PID namespace: its own numbers for processes differ from those shown here"},
		      {"ns/mnt", "mount namespace: its files are kept through /proc/PID/root"},
		      {"ns/user", "user namespace"},
		      {"ns/time", "time namespace: its clocks have an offset"}};
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		char theirs[64], ours[64], id[24];
		if (ct_proc_link(s->pid, spaces[i].name, theirs, sizeof(theirs)) ||
		    ct_proc_link(getpid(), spaces[i].name, ours, sizeof(ours)) || !strcmp(theirs, ours))
			continue;
		snprintf(id, sizeof(id), "namespace_%s", spaces[i].name + 3);
		ct_finding_add(s->f, CT_FIND_NOTE, id, NULL, "it is in another %s", spaces[i].text);
	}
}

static void survey_seccomp(struct ct_survey *s)
{
	if (s->seccomp == 1)
		ct_finding_add(s->f, CT_FIND_BLOCKS, "seccomp", NULL,
			       "it runs in seccomp strict mode: any system call ctbpf makes in it would kill it");
	else if (s->seccomp == 2)
		ct_finding_add(s->f, CT_FIND_DEGRADES, "seccomp",
			       "if its filter kills on clock_gettime or clone, record events only with --no-replay",
			       "it has a seccomp filter: where that denies clone or rseq, the snapshot is copied while "
			       "the process stands still");
	if (s->shadow_stack)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "shadow_stack",
			       "start it with GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK, or use --no-replay",
			       "it runs with a hardware shadow stack, which snapshots do not hold");
}

static void survey_exe(struct ct_survey *s)
{
	char path[64];
	Elf64_Ehdr head;
	snprintf(path, sizeof(path), "/proc/%d/exe", s->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* no permission (said already) or gone */
	ssize_t n = read(fd, &head, sizeof(head));
	if (n >= EI_NIDENT && !memcmp(head.e_ident, ELFMAG, SELFMAG) && head.e_ident[EI_CLASS] != ELFCLASS64)
		ct_finding_add(s->f, CT_FIND_BLOCKS, "32bit", "only 64-bit x86 programs can be recorded",
			       "it is a 32-bit program");
	else if (n == sizeof(head) && !memcmp(head.e_ident, ELFMAG, SELFMAG) && head.e_machine != EM_X86_64)
		ct_finding_add(s->f, CT_FIND_BLOCKS, "machine", "only 64-bit x86 programs can be recorded",
			       "its program is for another kind of machine (ELF machine %u)", head.e_machine);

	/* Go programs carry a note named "Go" with their build id. */
	for (unsigned i = 0; n == sizeof(head) && i < head.e_phnum && i < 64; i++) {
		Elf64_Phdr ph;
		char note[16];
		if (pread(fd, &ph, sizeof(ph), (off_t)(head.e_phoff + i * sizeof(ph))) != sizeof(ph))
			break;
		if (ph.p_type == PT_NOTE && pread(fd, note, sizeof(note), (off_t)ph.p_offset) == sizeof(note) &&
		    !memcmp(note + 12, "Go\0", 4)) {
			ct_finding_add(s->f, CT_FIND_NOTE, "runtime", NULL,
				       "it is a Go program: its scheduler's signals (SIGURG) make many events");
			break;
		}
	}
	close(fd);
}

static void survey_state_file(struct ct_survey *s)
{
	char path[64], label[48], fix[64];
	snprintf(path, sizeof(path), CT_RUN_DIR "/%d.json", s->pid);
	json_t *state = json_load_file(path, 0, NULL);
	if (!state)
		return;
	uint64_t start = (uint64_t)json_integer_value(json_object_get(state, "start_time"));
	pid_t recorder = (pid_t)json_integer_value(json_object_get(state, "recorder"));
	uint64_t recorder_start = (uint64_t)json_integer_value(json_object_get(state, "recorder_start"));
	json_decref(state);
	if (start && start != s->start_time)
		return; /* of an earlier process with this PID */
	struct ct_survey other = {.pid = recorder};
	if (recorder > 0 && read_stat(&other) && other.start_time == recorder_start) {
		ct_finding_add(s->f, CT_FIND_BLOCKS, "recorded", "end that recording first",
			       "it is being recorded by %s", ct_target_label(label, sizeof(label), recorder));
	} else {
		snprintf(fix, sizeof(fix), "run `ctbpf detach -p %d` first", s->pid);
		ct_finding_add(s->f, CT_FIND_BLOCKS, "left_attached", fix,
			       "a recorder that was killed has left it changed");
	}
}

int ct_survey_target(pid_t pid, struct ct_findings *f, struct ct_error *err)
{
	return ct_survey_member(&pid, 1, 0, f, err);
}

int ct_survey_member(const pid_t *group, size_t count, size_t i, struct ct_findings *f, struct ct_error *err)
{
	pid_t pid = group[i];
	struct ct_survey s = {.f = f, .pid = pid, .group = group, .ngroup = count, .threads = 1};
	if (pid <= 0 || !read_stat(&s) || !read_status(&s)) {
		no_process(&s);
	} else if (survey_state(&s)) {
		size_t before = f->count;
		read_threads(&s);
		survey_self(&s);
		survey_tracer(&s);
		survey_state_file(&s);
		survey_access(&s);
		survey_exe(&s);
		survey_namespaces(&s);
		survey_seccomp(&s);
		ct_survey_limits(&s);
		ct_survey_fds(&s);
		ct_survey_maps(&s);
		/* What half of it said of a process that has gone meanwhile is worth nothing. */
		uint64_t start_time = s.start_time;
		if (!read_stat(&s) || s.start_time != start_time || s.state == 'Z' || s.state == 'X') {
			f->count = before;
			ct_finding_add(f, CT_FIND_BLOCKS, "no_process", NULL, "it has exited meanwhile");
		}
	}
	return f->out_of_memory ? ct_fail(err, CT_EXIT_FAILED, "cannot survey %d: out of memory", pid) : 0;
}
