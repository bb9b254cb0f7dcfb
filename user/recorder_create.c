// SPDX-License-Identifier: MIT
/* What a recording begins with: the CPU it is pinned to, its directory, and its manifest. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replay/pmu.h"
#include "user/recorder_priv.h"

/* ---- CPUs of all recorders ---------------------------------------------------------------------------------
 *
 * A thread that is held keeps its CPU to itself (hold() in bpf/target.bpf.c). If one could be held on every CPU at the
 * same time, no recorder would have one to answer on. So recorders leave at least one to themselves: byte N of a file
 * is locked by everyone who has pinned something to CPU N, the byte behind them by who is choosing. The kernel unlocks
 * them when a recorder dies. */

static bool lock_byte(int fd, int command, short type, int byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	while (fcntl(fd, command, &lock))
		if (errno != EINTR)
			return false;
	return command != F_OFD_GETLK || lock.l_type == F_UNLCK;
}

/* Takes r->pin.cpu, or another of `allowed` if it would be the last of `mine` that nobody is pinned to. *busy: what
 * other recorders have. Where nothing can be locked (a read-only /run), each recorder is for itself. */
static void claim_cpu(struct ct_recorder *r, const cpu_set_t *allowed, const cpu_set_t *mine, cpu_set_t *busy)
{
	cpu_set_t left = *mine;
	struct ct_error why;

	CPU_ZERO(busy);
	if (ct_rundir_make(&why))
		return;
	r->cpu_lock = open(CT_RUN_DIR "/cpus", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->cpu_lock < 0 || !lock_byte(r->cpu_lock, F_OFD_SETLKW, F_WRLCK, CPU_SETSIZE))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, mine) && !lock_byte(r->cpu_lock, F_OFD_GETLK, F_WRLCK, cpu)) {
			CPU_SET(cpu, busy);
			CPU_CLR(cpu, &left);
		}
	CPU_CLR(r->pin.cpu, &left);
	for (int cpu = 0; r->opts->cpu < 0 && !CPU_COUNT(&left) && cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, busy) && CPU_ISSET(cpu, allowed)) {
			r->pin.cpu = cpu;
			break;
		}
	lock_byte(r->cpu_lock, F_OFD_SETLK, F_RDLCK, r->pin.cpu);
	lock_byte(r->cpu_lock, F_OFD_SETLK, F_UNLCK, CPU_SETSIZE);
}

int ct_recorder_choose_cpu(struct ct_recorder *r, pid_t pid, struct ct_error *err)
{
	cpu_set_t allowed, mine, busy;
	int last = pid ? (int)ct_proc_stat(pid, pid, 39) : 0; /* where it ran last */

	CPU_ZERO(&allowed);
	if (!pid || sched_getaffinity(pid, sizeof(allowed), &allowed))
		sched_getaffinity(0, sizeof(allowed), &allowed);
	sched_getaffinity(0, sizeof(mine), &mine);
	r->pin.cpu = r->opts->cpu >= 0 ? r->opts->cpu : last;
	if (r->opts->cpu >= 0 && !CPU_ISSET(r->pin.cpu, &allowed))
		return ct_fail(err, CT_EXIT_USAGE, "the target may not run on CPU %d", r->opts->cpu);
	for (int cpu = 0; !CPU_ISSET(r->pin.cpu, &allowed) && cpu < CPU_SETSIZE; cpu++)
		r->pin.cpu = cpu;
	r->pin.policy = r->opts->real_time ? SCHED_RR : -1;
	r->mine = r->others = mine;
	if (r->opts->no_replay)
		return 0;
	claim_cpu(r, &allowed, &mine, &busy);
	CPU_CLR(r->pin.cpu, &mine);
	if (CPU_COUNT(&mine))
		r->others = mine; /* else a machine with one CPU */
	CPU_XOR(&mine, &mine, &busy);
	CPU_AND(&mine, &mine, &r->others);
	if (CPU_COUNT(&mine))
		r->others = mine;
	sched_setaffinity(0, sizeof(r->others), &r->others);
	return 0;
}

static void default_path(struct ct_recorder *r, const char *comm, pid_t pid)
{
	char safe[16], when[32];
	time_t now = time(NULL);
	struct tm tm;
	size_t n = 0;

	for (; comm[n] && n < sizeof(safe) - 1; n++)
		safe[n] = comm[n] <= ' ' || comm[n] > '~' || comm[n] == '/' || comm[n] == '.' ? '_' : comm[n];
	safe[n] = 0;
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	snprintf(r->path, sizeof(r->path), "ctbpf-%s-%d-%s.ctr", safe, pid, when);
}

static json_t *argument(struct ct_recorder *r, const char *text)
{
	char *copy = strdup(text);
	json_t *arg;

	if (copy && r->redact)
		ct_redact_bytes(r->redact, copy, strlen(copy), false);
	arg = json_string(copy ?: "?");
	free(copy);
	return arg ?: json_string("?");
}

static json_t *describe_target(struct ct_recorder *r, pid_t pid, char **command)
{
	char path[64], exe[4096];
	struct ct_target t;
	json_t *obj;
	ssize_t n;

	ct_target_init(&t, pid);
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = 0;
	obj = json_pack("{s:i, s:s, s:s}", "pid", pid, "comm", t.comm, "exe", exe);
	if (command) {
		json_t *argv = json_array();

		for (; *command; command++)
			json_array_append_new(argv, argument(r, *command));
		json_object_set_new(obj, "argv", argv);
	}
	ct_target_deinit(&t);
	return obj;
}

int ct_recorder_create_directory(struct ct_recorder *r, pid_t pid, struct ct_error *err)
{
	char path[64], *comm;

	if (r->opts->output) {
		snprintf(r->path, sizeof(r->path), "%s", r->opts->output);
	} else {
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		comm = r->opts->command ? NULL : ct_read_file(path, NULL);
		if (comm)
			comm[strcspn(comm, "\n")] = 0;
		if (r->opts->command) {
			const char *slash = strrchr(r->opts->command[0], '/');

			default_path(r, slash ? slash + 1 : r->opts->command[0], pid);
		} else {
			default_path(r, comm ? comm : "gone", pid);
		}
		free(comm);
	}
	r->dirfd = ct_recording_create(r->path, err);
	if (r->dirfd < 0)
		return -1;
	ct_uuid7(r->uuid);
	r->manifest = ct_manifest_new(r->uuid);
	if (!r->manifest)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	json_object_set_new(r->manifest, "target", describe_target(r, pid, r->opts->command));
	json_object_set_new(r->manifest, "options",
			    json_pack("{s:b, s:b, s:i, s:b, s:s}", "no_replay", r->opts->no_replay, "force",
				      r->opts->force, "cpu", r->pin.cpu, "real_time", r->opts->real_time, "clock",
				      r->opts->step           ? "step"
				      : r->probes.pmu_fd >= 0 ? "pmu"
							      : "fingerprint"));
	if (r->opts->calls)
		json_object_set_new(json_object_get(r->manifest, "options"), "calls",
				    ct_recorder_calls_options(r->opts));
	if (ct_keep_on(r))
		json_object_set_new(json_object_get(r->manifest, "options"), "keep",
				    json_pack("{s:f, s:I}", "seconds", r->opts->keep_ns / 1e9, "bytes",
					      (json_int_t)r->opts->keep_bytes));
	if (r->opts->max_processes)
		json_object_set_new(json_object_get(r->manifest, "options"), "max_processes",
				    json_integer(r->opts->max_processes));
	if (r->opts->step || r->probes.pmu_fd >= 0)
		json_object_set_new(json_object_get(r->manifest, "options"), "ticks",
				    json_string(r->opts->step || ct_pmu_model()->conditional ? "conditional-branches"
											     : "branches"));
	if (r->redact) {
		json_object_set_new(r->manifest, "redacted",
				    json_pack("{s:I}", "rules", (json_int_t)ct_redact_rules(r->redact)));
		json_object_set_new(r->manifest, "replayable", json_false());
		json_object_set_new(r->manifest, "replayable_reason",
				    json_string("recorded with --redact: bytes are missing"));
	}
	if (r->opts->no_replay || r->opts->force) {
		json_object_set_new(r->manifest, "replayable", json_false());
		json_object_set_new(r->manifest, "replayable_reason",
				    json_string(r->opts->no_replay
							? "recorded with --no-replay"
							: "recorded with --force despite findings of check"));
	}
	return ct_recorder_manifest(r, "recording", NULL, err);
}

void ct_recorder_redacted(struct ct_recorder *r, struct ct_record_result *res)
{
	char why[100];

	if (!r->redact)
		return;
	res->redacted = ct_redact_matches(r->redact);
	json_object_set_new(json_object_get(r->manifest, "redacted"), "matches",
			    json_integer((json_int_t)res->redacted));
	if (r->opts->no_replay || r->opts->force)
		return;
	if (!res->redacted) {
		json_object_del(r->manifest, "replayable");
		json_object_del(r->manifest, "replayable_reason");
		return;
	}
	snprintf(why, sizeof(why), "bytes are missing: --redact has overwritten some in %llu places",
		 (unsigned long long)res->redacted);
	json_object_set_new(r->manifest, "replayable_reason", json_string(why));
}
