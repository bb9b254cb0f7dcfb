/* SPDX-License-Identifier: MIT
 * The commands of the `ctbpf` program.
 *
 * One cmd_*.c per command; it owns its options and its help text. main.c holds the table. */
#ifndef CT_CMD_H
#define CT_CMD_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#include "../formats/error.h"

struct ct_out;

/* argv[0] is "ctbpf NAME", which getopt then puts before its messages. The result is the exit status, see
 * enum ct_exit. */
int cmd_record(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_query(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_index(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_graph(int argc, char **argv);
int cmd_script(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_dap(int argc, char **argv);
int cmd_stack(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_replay_worker(int argc, char **argv);
int cmd_trigger(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_daemon(int argc, char **argv);
int cmd_core(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_rm(int argc, char **argv);

/* A usage error: prints "ctbpf NAME: <message>" (unless fmt is NULL: getopt has printed it) and where to read
 * more to standard error. Returns CT_EXIT_USAGE. */
int ct_cmd_usage(char **argv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For commands whose only argument is a recording: 0 if argv has it at `optind`, else as ct_cmd_usage. */
int ct_cmd_one_recording(int argc, char **argv);
/* Prints "ctbpf NAME: <message of err>" to standard error; returns its exit status (1 if it holds none). */
int ct_cmd_fail(char **argv, const struct ct_error *err);
/* Prints a help text to standard output; returns 0. */
int ct_cmd_help(const char *text);

/* Opens standard output for a command that prints; from then on SIGPIPE is ignored. */
void ct_cmd_open(struct ct_out *out);
/* Closes it and returns the command's status: `status`, or 1 with a message if
 * the output could not be written. A reader that has seen enough (`| head`) is no error. */
int ct_cmd_close(char **argv, struct ct_out *out, int status);

/* recorder_ask.c: where the recorder of a process records to, for which root is needed; asks the recorder of a
 * recording and prints its answer. */
int ct_recorder_find(pid_t pid, char path[PATH_MAX], struct ct_error *err);
int ct_recorder_ask(const char *path, const char *request, struct ct_error *err);

/* Asks the recorder of a recording to keep what it has under this name, and prints the path of that. */
int ct_trigger_ask(const char *path, const char *name, struct ct_error *err);

/* Number in text, all of it, within [min, max]; -1 if it is not (nothing is printed). */
int ct_parse_u64(const char *text, unsigned long long min, unsigned long long max, unsigned long long *value);

#endif
