// SPDX-License-Identifier: MIT
/* ctbpf daemon: runs it, and asks one that runs. */
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/attach/target.h"
#include "user/cmd.h"
#include "user/control.h"
#include "user/daemon.h"
#include "user/recorder.h"

static const char help[] =
	"usage: ctbpf daemon --config FILE\n"
	"       ctbpf daemon status [--json]\n"
	"       ctbpf daemon start|stop|rotate|detach TARGET\n"
	"       ctbpf daemon trigger TARGET NAME\n"
	"\n"
	"Records services for ever: each target of the configuration as soon as it runs, and anew when it\n"
	"has been restarted. SIGHUP reloads the configuration; SIGTERM ends all recordings in order. The\n"
	"other forms ask the daemon that runs:\n"
	"\n"
	"  status   how all targets are\n"
	"  stop     end the recording of a target and leave it alone, until ...\n"
	"  start    ... it is to be recorded again\n"
	"  rotate   end the recording and begin a new one\n"
	"  detach   as stop; a recorder that does not end at once is killed, and what it left put back\n"
	"  trigger  keep what there is at this moment as a recording of its own: see ctbpf trigger\n"
	"\n"
	"  -c, --config FILE  the configuration; it and its directory must be writable by root only\n"
	"      --json         status as JSON\n"
	"  -h, --help         this text\n"
	"\n"
	"examples:\n"
	"  sudo ctbpf daemon --config /etc/ctbpf/daemon.conf\n"
	"  sudo ctbpf daemon trigger redis slow-request\n"
	"\n"
	"exit status: 0 done, 1 failed, 2 usage, 3 no daemon runs, 77 missing privilege\n";

static char *ask(const char *request, struct ct_error *err)
{
	int dir = open(CT_RUN_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *answer;

	if (dir < 0 || faccessat(dir, CT_DAEMON_SOCKET, F_OK, 0)) {
		if (dir >= 0)
			close(dir);
		ct_fail(err, CT_EXIT_NOT_ATTACHED, "no daemon runs: there is no " CT_RUN_DIR "/" CT_DAEMON_SOCKET);
		return NULL;
	}
	answer = ct_control_ask(dir, CT_DAEMON_SOCKET, "the daemon", request, err);
	close(dir);
	return answer;
}

static void print_target(const json_t *t)
{
	const json_t *r = json_object_get(t, "recorder");
	const char *name, *state, *recording;
	json_int_t attached, failures;

	if (json_unpack((json_t *)t, "{s:s, s:s, s:s, s:I, s:I}", "name", &name, "state", &state, "recording",
			&recording, "recordings", &attached, "failures", &failures))
		return;
	printf("%-16s %-10s %4lld recordings %4lld failures", name, state, (long long)attached, (long long)failures);
	if (r)
		printf("  %lld events, %lld lost", (long long)json_integer_value(json_object_get(r, "events")),
		       (long long)json_integer_value(json_object_get(r, "lost")));
	printf("  %s\n", recording);
}

static int status(bool json, char **argv)
{
	struct ct_error err = {0};
	char *text = ask("status", &err);
	json_t *root, *t;
	size_t i;

	if (!text)
		return ct_cmd_fail(argv, &err);
	if (json) {
		puts(text);
	} else {
		root = json_loads(text, 0, NULL);
		json_array_foreach (json_object_get(root, "targets"), i, t)
			print_target(t);
		json_decref(root);
	}
	free(text);
	return CT_EXIT_OK;
}

static int request(const char *verb, const char *target, const char *name, char **argv)
{
	struct ct_error err = {0};
	char text[256], *answer;
	int ret = 0;

	snprintf(text, sizeof(text), "%s %s", name ? "where" : verb, target);
	answer = ask(text, &err);
	if (!answer)
		return ct_cmd_fail(argv, &err);
	if (name)
		ret = ct_trigger_ask(answer, name, &err);
	else
		puts(answer);
	free(answer);
	return ret ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}

int cmd_daemon(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{0}};
	static const char *const verbs[] = {"start", "stop", "rotate", "detach", "trigger"};
	const char *config = NULL, *verb, *target;
	struct ct_error err = {0};
	bool json = false;
	int opt, nargs;

	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (opt) {
		case 'c': config = optarg; break;
		case 'j': json = true; break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	nargs = argc - optind;
	if ((config != NULL) == (nargs != 0))
		return ct_cmd_usage(argv, "give --config FILE to run it, or say what to ask it");
	if (geteuid()) {
		ct_fail(&err, CT_EXIT_MISSING, "the daemon and who asks it need root: run it with sudo");
		return ct_cmd_fail(argv, &err);
	}
	if (config)
		return ct_daemon_run(config, &err) ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
	verb = argv[optind];
	target = argv[optind + 1];
	if (!strcmp(verb, "status") && nargs == 1)
		return status(json, argv);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		bool trigger = !strcmp(verb, "trigger");

		if (strcmp(verb, verbs[i]) != 0)
			continue;
		if (nargs != 2 + trigger || !ct_trigger_name_ok(target) ||
		    (trigger && !ct_trigger_name_ok(argv[optind + 2])))
			return ct_cmd_usage(argv, "%s takes the name of a target%s", verb,
					    trigger ? ", and one for what is kept" : "");
		return request(verb, target, trigger ? argv[optind + 2] : NULL, argv);
	}
	return ct_cmd_usage(argv, "there is status, start, stop, rotate, detach, trigger, not '%s'", verb);
}
