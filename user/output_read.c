/* SPDX-License-Identifier: MIT
 * The bytes that a replayed system call wrote, from the replayed process's memory. */
#include "user/output_read.h"

#include <sys/socket.h>
#include <sys/uio.h>

#define MOST_IOVEC 1024
#define CHUNK      65536

struct reading {
	struct ct_session *s;
	ct_u32 pid;
	int (*each)(void *arg, const char *data, size_t len);
	void *arg;
};

static int read_bytes(const struct reading *r, ct_u64 addr, ct_u64 len)
{
	char buf[CHUNK];
	int ret = 0;

	while (len && !ret) {
		size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

		if (ct_session_read(r->s, r->pid, addr, buf, n, NULL))
			return 0; /* the kernel took them a moment before they were unmapped */
		ret = r->each(r->arg, buf, n);
		addr += n;
		len -= n;
	}
	return ret;
}

int ct_output_read(struct ct_session *s, const struct ct_event *ev, enum ct_output_form form,
		   int (*each)(void *arg, const char *data, size_t len), void *arg)
{
	const struct ct_ev_syscall *sc = ct_event_payload(ev);
	const struct reading r = {s, ev->pid, each, arg};
	ct_u64 left = (ct_u64)sc->ret, vec = sc->args[1], count = sc->args[2];
	struct iovec iov[MOST_IOVEC];
	int ret = 0;

	if (form == CT_OUTPUT_NO_MEMORY)
		return 0;
	if (form == CT_OUTPUT_BYTES)
		return read_bytes(&r, sc->args[1], left);
	if (form == CT_OUTPUT_MSGHDR) {
		struct msghdr msg;

		if (ct_session_read(s, ev->pid, sc->args[1], &msg, sizeof(msg), NULL))
			return 0;
		vec = (ct_u64)(uintptr_t)msg.msg_iov;
		count = msg.msg_iovlen;
	}
	if (count > MOST_IOVEC || ct_session_read(s, ev->pid, vec, iov, count * sizeof(*iov), NULL))
		return 0;
	for (ct_u64 i = 0; i < count && left && !ret; i++) {
		ct_u64 n = iov[i].iov_len < left ? iov[i].iov_len : left;

		ret = read_bytes(&r, (ct_u64)(uintptr_t)iov[i].iov_base, n);
		left -= n;
	}
	return ret;
}
