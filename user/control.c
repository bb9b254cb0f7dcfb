// SPDX-License-Identifier: MIT
/* Control sockets, both ends. */
#include "user/control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int make_socket(int dirfd, const char *name, int flags, struct sockaddr_un *at)
{
	*at = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(at->sun_path, sizeof(at->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
}

int ct_control_listen(int dirfd, const char *name)
{
	struct sockaddr_un at;
	int fd = make_socket(dirfd, name, SOCK_NONBLOCK, &at);
	mode_t mask = umask(0177);

	if (fd >= 0 && (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 16))) {
		close(fd);
		fd = -1;
	}
	umask(mask);
	return fd;
}

ssize_t ct_control_serve(int ep, int listener, int fd, char *text, size_t size)
{
	ssize_t n;

	if (fd == listener) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = client};

		if (client >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, client, &ev))
			close(client);
		return -1;
	}
	n = recv(fd, text, size - 1, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return -1;
	epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
	if (n <= 0) {
		close(fd);
		return -1;
	}
	text[n] = 0;
	return n;
}

void ct_control_answer(int fd, const char *fmt, ...)
{
	char *text = NULL;
	va_list args;
	int len;

	if (fd < 0)
		return;
	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	/* Who has gone away needs none. */
	if (len >= 0 && send(fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		len = 0;
	if (len >= 0)
		free(text);
	close(fd);
}

int ct_control_send(int dirfd, const char *name, const char *request)
{
	struct sockaddr_un at;
	int fd = make_socket(dirfd, name, 0, &at);
	size_t len = strlen(request);

	if (fd >= 0 &&
	    (connect(fd, (struct sockaddr *)&at, sizeof(at)) || send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

char *ct_control_ask(int dirfd, const char *name, const char *who, const char *request, struct ct_error *err)
{
	int fd = ct_control_send(dirfd, name, request);
	char *text;
	ssize_t n;

	if (fd < 0) {
		ct_fail_errno(err, errno == EACCES ? CT_EXIT_MISSING : CT_EXIT_FAILED, "%s does not answer at %s", who,
			      name);
		return NULL;
	}
	text = malloc(CT_CONTROL_MAX);
	do
		n = text ? recv(fd, text, CT_CONTROL_MAX - 1, 0) : 0;
	while (n < 0 && errno == EINTR);
	close(fd);
	if (!text || n <= 0) {
		free(text);
		ct_fail(err, CT_EXIT_FAILED, "%s ended without an answer", who);
		return NULL;
	}
	text[n] = 0;
	if (!strncmp(text, "ok ", 3)) {
		memmove(text, text + 3, (size_t)n - 2);
		return text;
	}
	ct_fail(err, CT_EXIT_FAILED, "%s: %s", who, strchr(text, ' ') ? strchr(text, ' ') + 1 : text);
	free(text);
	return NULL;
}
