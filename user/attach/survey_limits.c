/* SPDX-License-Identifier: MIT
 * Survey of a target: its memory, its limits, its place in the scheduler - what the snapshot and pinning will meet.
 *
 * The snapshot is a copy-on-write fork: it costs page tables at once, and memory for pages changed meanwhile. */
#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../formats/probe.h"
#include "../out.h"
#include "survey_priv.h"

#define MIB              ((uint64_t)1 << 20)
/* Measured: a fork of 1 GiB in 4 KiB pages stops the process for 85 ms, plus a few for the rest of attaching. */
#define PAUSE_BASE_MS    2.0
#define PAUSE_MS_PER_GIB 85.0
/* Shared pages are copied during the stop. */
#define COPY_MS_PER_GIB  250.0

#define CAP_SYS_ADMIN    21
#define CAP_SYS_RESOURCE 24

/* ---- Memory ---- */

static void survey_memory(struct ct_survey *s)
{
	char a[CT_HUMAN], b[CT_HUMAN];
	double gib = 1024.0 * (double)MIB;
	double pause = PAUSE_BASE_MS + (double)(s->rss_anon + s->rss_file) / gib * PAUSE_MS_PER_GIB +
		       (double)s->rss_shmem / gib * COPY_MS_PER_GIB;
	uint64_t rss = s->rss_anon + s->rss_file + s->rss_shmem;
	ct_finding_add(s->f, pause > 100 ? CT_FIND_DEGRADES : CT_FIND_OK, "pause",
		       pause > 100 ? "huge pages shorten it; so does --no-replay, which takes no snapshot" : NULL,
		       "%s resident: attaching will stop it for about %s", ct_human_bytes(a, rss),
		       ct_human_seconds(b, pause / 1e3));
	char *meminfo = ct_proc_read(0, "meminfo", NULL);
	uint64_t available = meminfo ? ct_text_number(meminfo, "MemAvailable", 10, 0) * 1024 : 0;
	free(meminfo);
	/* Pages it changes while the snapshot is written exist twice; half of them is a busy process. */
	if (available && s->rss_anon / 2 > available)
		ct_finding_add(s->f, CT_FIND_DEGRADES, "memory", "free memory first, or use --no-replay",
			       "its snapshot may need up to %s for pages it changes meanwhile, %s are available",
			       ct_human_bytes(a, s->rss_anon), ct_human_bytes(b, available));
	if (s->swap)
		ct_finding_add(s->f, CT_FIND_NOTE, "swap", NULL,
			       "%s of it are swapped out; the snapshot reads them back in", ct_human_bytes(a, s->swap));
	if (s->locked)
		ct_finding_add(s->f, CT_FIND_NOTE, "locked_memory", NULL,
			       "it has locked %s in memory; the snapshot's copy is not locked",
			       ct_human_bytes(a, s->locked));
}

/* ---- Control groups ---- */

/* Reads <mount>/<group>/<file> as a number; false if there is none or it says "max". */
static bool cgroup_number(const char *mount, const char *group, const char *file, uint64_t *value)
{
	char path[512], text[32];
	snprintf(path, sizeof(path), "%s%s/%s", mount, group, file);
	if (ct_read_small(path, text, sizeof(text)) || text[0] < '0' || text[0] > '9')
		return false;
	*value = strtoull(text, NULL, 10);
	return *value < (uint64_t)1 << 60; /* version 1 writes "no limit" as a huge number */
}

static void cgroup_memory(struct ct_survey *s, uint64_t limit, uint64_t usage)
{
	char a[CT_HUMAN];
	uint64_t room = limit > usage ? limit - usage : 0;
	if (room < s->rss_anon / 4)
		ct_finding_add(s->f, CT_FIND_DEGRADES, "cgroup_memory",
			       "raise its cgroup's memory limit while recording, or use --no-replay",
			       "its cgroup has %s left: pages it changes while a snapshot is written count there, and "
			       "may exhaust it",
			       ct_human_bytes(a, room));
}

static void cgroup_pids(struct ct_survey *s, uint64_t limit, uint64_t usage)
{
	if (usage + 1 > limit)
		ct_finding_add(s->f, CT_FIND_DEGRADES, "cgroup_pids", "raise pids.max of its cgroup",
			       "its cgroup is at its limit of %llu processes: the snapshot cannot fork and is copied "
			       "while the process stands still",
			       (unsigned long long)limit);
}

static void survey_cgroup(struct ct_survey *s)
{
	char *text = ct_proc_read(s->pid, "cgroup", NULL), *rest = text;
	uint64_t limit, usage;
	for (char *line; rest && (line = strsep(&rest, "\n")) && *line;) {
		strsep(&line, ":");
		char *controllers = strsep(&line, ":");
		if (!controllers || !line || !strncmp(line, "/..", 3))
			continue; /* outside of our view of the hierarchy */
		static const char *const unified[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
		for (size_t i = 0; !*controllers && i < 2; i++) {
			if (cgroup_number(unified[i], line, "memory.max", &limit) &&
			    cgroup_number(unified[i], line, "memory.current", &usage))
				cgroup_memory(s, limit, usage);
			if (cgroup_number(unified[i], line, "pids.max", &limit) &&
			    cgroup_number(unified[i], line, "pids.current", &usage))
				cgroup_pids(s, limit, usage);
		}
		if (!strcmp(controllers, "memory") &&
		    cgroup_number("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes", &limit) &&
		    cgroup_number("/sys/fs/cgroup/memory", line, "memory.usage_in_bytes", &usage))
			cgroup_memory(s, limit, usage);
		if (!strcmp(controllers, "pids") && cgroup_number("/sys/fs/cgroup/pids", line, "pids.max", &limit) &&
		    cgroup_number("/sys/fs/cgroup/pids", line, "pids.current", &usage))
			cgroup_pids(s, limit, usage);
	}
	free(text);
}

/* ---- Limits of the user ---- */

struct user_tasks {
	unsigned uid;
	uint64_t count;
};

static bool count_tasks(void *ctx, pid_t pid)
{
	struct user_tasks *tasks = ctx;
	char path[32];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (!stat(path, &st) && st.st_uid == tasks->uid) {
		char *text = ct_proc_read(pid, "status", NULL);
		tasks->count += text ? ct_text_number(text, "Threads", 10, 1) : 0;
		free(text);
	}
	return true;
}

static void survey_rlimits(struct ct_survey *s)
{
	bool exempt = s->uid == 0 || s->cap_eff & (1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_RESOURCE);
	char *text = exempt ? NULL : ct_proc_read(s->pid, "limits", NULL);
	const char *line = text ? strstr(text, "Max processes") : NULL;
	unsigned long long limit;
	if (line && sscanf(line, "Max processes %llu", &limit) == 1) {
		struct user_tasks tasks = {.uid = s->uid};
		ct_each_process(count_tasks, &tasks);
		if (tasks.count + 1 > limit)
			ct_finding_add(s->f, CT_FIND_DEGRADES, "nproc", "raise RLIMIT_NPROC with prlimit",
				       "user %u is at its limit of %llu processes: the snapshot cannot fork and is "
				       "copied while the process stands still",
				       s->uid, limit);
	}
	free(text);
}

/* ---- Scheduling ---- */

static void survey_threads(struct ct_survey *s)
{
	if (s->threads > CT_MAX_THREADS)
		ct_finding_add(s->f, CT_FIND_BLOCKS, "threads", NULL, "it has %u threads; one recording can follow %u",
			       s->threads, CT_MAX_THREADS);
	else if (s->threads > 1)
		ct_finding_add(s->f, CT_FIND_NOTE, "threads", NULL,
			       "its %u threads will share one CPU while it is recorded", s->threads);
	else
		ct_finding_add(s->f, CT_FIND_OK, "threads", NULL, "one thread");
}

static void survey_policy(struct ct_survey *s)
{
	unsigned realtime = 0, deadline = 0;
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", s->pid);
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
		int policy = tid > 0 ? sched_getscheduler(tid) : -1;
		policy &= policy < 0 ? -1 : ~0x40000000; /* SCHED_RESET_ON_FORK */
		realtime += policy == SCHED_FIFO || policy == SCHED_RR;
		deadline += policy == 6; /* SCHED_DEADLINE */
	}
	if (dir)
		closedir(dir);
	if (deadline)
		ct_finding_add(s->f, CT_FIND_BLOCKS_REPLAY, "deadline",
			       "give them another policy with chrt, or use "
			       "--no-replay",
			       "%u of its threads run under SCHED_DEADLINE and cannot be pinned to a CPU", deadline);
	if (realtime)
		ct_finding_add(s->f, CT_FIND_NOTE, "realtime", NULL,
			       "%u of its threads have real-time priority; the recorder stays off their CPU", realtime);
}

static void survey_cpus(struct ct_survey *s)
{
	cpu_set_t *set = CPU_ALLOC(8192);
	size_t size = CPU_ALLOC_SIZE(8192);
	if (set && !sched_getaffinity(s->pid, size, set) && sysconf(_SC_NPROCESSORS_ONLN) > 1 &&
	    CPU_COUNT_S(size, set) == 1)
		ct_finding_add(s->f, CT_FIND_NOTE, "affinity", NULL,
			       "it is bound to one CPU already; it will be recorded there");
	CPU_FREE(set);
}

void ct_survey_limits(struct ct_survey *s)
{
	survey_memory(s);
	survey_cgroup(s);
	survey_rlimits(s);
	survey_threads(s);
	survey_policy(s);
	survey_cpus(s);
}
