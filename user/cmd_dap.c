/* SPDX-License-Identifier: MIT
 * ctbpf dap: the Debug Adapter Protocol for editors, over standard input and output or a TCP port of this machine. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "loopback.h"
#include "replay/dap.h"

static const char help[] =
	"usage: ctbpf dap [OPTION...] [RECORDING]\n"
	"\n"
	"Debug a recording in an editor, forwards and backwards. The editor starts this command and talks the Debug\n"
	"Adapter Protocol with it; docs/dap.md has the set-up for VS Code, Neovim and Emacs. What an interpreter did\n"
	"is answered from the step database: run `ctbpf index RECORDING` first. Native code is executed again.\n"
	"RECORDING is for launch configurations that have no \"recording\".\n"
	"\n"
	"  -p, --port N      listen on port N of 127.0.0.1 instead (0: any free one), for one client after the other,\n"
	"                    or several at once. The port is printed with a token, which the launch configuration "
	"must\n"
	"                    give as \"token\"; CTBPF_DAP_TOKEN in the environment sets one (at least 16 characters)\n"
	"  -h, --help        this text\n"
	"\n"
	"launch configuration:\n"
	"  \"recording\"       the directory NAME.ctr\n"
	"  \"stopOnEntry\"     stop before the first line (true)\n"
	"  \"position\"        where to begin: s:STEP, e:EVENT, t:+1.25s, start, end\n"
	"  \"sourceMap\"       {\"/recorded/prefix\": \"/prefix/here\"}\n"
	"  \"mode\"            steps, native; without it: steps if there is a step database\n"
	"  \"pid\"             native: the recorded process to look at\n"
	"  \"token\"           with --port\n"
	"\n"
	"exit codes: 0 the client has disconnected, 1 failed, 2 wrong usage\n";

#define CLIENTS   16 /* at once */
#define TOKEN_MIN 16

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	(void)sig;
	ended = 1;
}

static int make_token(char token[33], struct ct_error *err)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return ct_fail_errno(err, CT_EXIT_FAILED, "no random bytes for a token");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* Each client has a process of its own: none of them can keep another one waiting. */
static int serve_port(unsigned port, struct ct_dap_options *options, struct ct_error *err)
{
	struct sigaction sa = {.sa_handler = on_signal};
	unsigned clients = 0;
	char token[33];
	int fd, one = 1;

	if (!options->token) {
		if (make_token(token, err) < 0)
			return -1;
		options->token = token;
	}
	fd = ct_loopback_listen(port, CLIENTS, &port, err);
	if (fd < 0)
		return -1;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	printf("listening on 127.0.0.1:%u, token %s\n", port, options->token);
	fflush(stdout);
	while (!ended) {
		bool full = clients == CLIENTS;
		int client = full ? -1 : accept4(fd, NULL, NULL, SOCK_CLOEXEC), why = errno;

		if (full && waitpid(-1, NULL, 0) > 0)
			clients--;
		while (clients && waitpid(-1, NULL, WNOHANG) > 0)
			clients--;
		if (client < 0) {
			if (full || ended || why == EINTR || why == ECONNABORTED)
				continue;
			close(fd);
			errno = why;
			return ct_fail_errno(err, CT_EXIT_FAILED, "127.0.0.1:%u: no clients can be taken", port);
		}
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		switch (fork()) {
		case 0: {
			struct ct_error why = {0};
			int ret;

			signal(SIGINT, SIG_DFL);
			signal(SIGTERM, SIG_DFL);
			close(fd);
			ret = ct_dap_serve(client, client, options, &why);
			if (ret < 0)
				fprintf(stderr, "ctbpf dap: %s\n", why.msg);
			_exit(ret < 0);
		}
		case -1: perror("ctbpf dap: fork"); break;
		default: clients++;
		}
		close(client);
	}
	close(fd);
	return 0;
}

int cmd_dap(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct ct_dap_options dap = {0};
	struct ct_error err = {0};
	unsigned long long port = 0;
	bool tcp = false;
	int opt, ret, out;

	while ((opt = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			if (ct_parse_u64(optarg, 0, 65535, &port))
				return ct_cmd_usage(argv, "--port takes a number from 0 to 65535, not '%s'", optarg);
			tcp = true;
			break;
		case 'h': return ct_cmd_help(help);
		default: return ct_cmd_usage(argv, NULL);
		}
	}
	if (argc - optind > 1)
		return ct_cmd_usage(argv, "one recording at most");
	dap.recording = argv[optind];
	signal(SIGPIPE, SIG_IGN);
	if (tcp) {
		dap.token = getenv("CTBPF_DAP_TOKEN");
		if (dap.token && strlen(dap.token) < TOKEN_MIN)
			return ct_cmd_usage(argv, "CTBPF_DAP_TOKEN has less than %d characters", TOKEN_MIN);
		ret = serve_port((unsigned)port, &dap, &err);
	} else {
		if (isatty(STDIN_FILENO))
			return ct_cmd_usage(argv,
					    "this is started by an editor (docs/dap.md); for a person there is --help");
		/* Nothing but messages may come out there. */
		out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		ret = out < 0 ? ct_fail_errno(&err, CT_EXIT_FAILED, "standard output")
			      : ct_dap_serve(STDIN_FILENO, out, &dap, &err);
	}
	return ret < 0 ? ct_cmd_fail(argv, &err) : CT_EXIT_OK;
}
