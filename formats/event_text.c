/* SPDX-License-Identifier: MIT
 * Words for records that carry only numbers.
 *
 * The kernel side writes reasons, not sentences. */
#include <stdio.h>
#include <string.h>

#include "event_access.h"
#include "syscalls.h"

/* "system call 999" for numbers without a row. */
static const char *call_name(ct_u64 value, char buf[32])
{
	const struct ct_syscall *call = value < CT_MAX_SYSCALL ? ct_syscall((int)value) : NULL;

	if (call)
		return call->name;
	snprintf(buf, 32, "%lld", (long long)value);
	return buf;
}

static const char *signal_name(ct_u64 value, char buf[32])
{
	const char *name = value <= 64 ? ct_signal_name((int)value) : NULL;

	if (name)
		return name;
	snprintf(buf, 32, "signal %llu", (unsigned long long)value);
	return buf;
}

const char *ct_unsound_text(const struct ct_event *ev, char *out, size_t len)
{
	const struct ct_ev_text *t = ct_event_payload(ev);
	unsigned long long value = t->value;
	size_t text_len;
	const char *text = ct_event_text(ev, &text_len);
	char buf[32];

	if (text_len) {
		snprintf(out, len, "%.*s", (int)text_len, text);
		return out;
	}
	switch (t->reason) {
	case CT_UNSOUND_SYSCALL: snprintf(out, len, "system call %s cannot be replayed", call_name(value, buf)); break;
	case CT_UNSOUND_FAULT:
		snprintf(out, len, "memory at 0x%llx that a call filled could not be read", value);
		break;
	case CT_UNSOUND_TRUNCATED:
		snprintf(out, len, "system call %s has more buffers than can be recorded", call_name(value, buf));
		break;
	case CT_UNSOUND_FOREIGN_CPU: snprintf(out, len, "it ran on CPU %llu, which it is not pinned to", value); break;
	case CT_UNSOUND_EXEC_NOT_HELD:
		snprintf(out, len,
			 "the new program ran before a snapshot of it could be taken (it was held for %llu ms)",
			 value / 1000000);
		break;
	case CT_UNSOUND_FILE: snprintf(out, len, "a mapped file's content could not be kept"); break;
	case CT_UNSOUND_WRITTEN:
		snprintf(out, len,
			 "it wrote to, or resized, a file that is mapped, which changes memory (descriptor %llu)",
			 (unsigned long long)value);
		break;
	case CT_UNSOUND_SHARED:
		if (value)
			snprintf(out, len,
				 "it shares memory with its child %llu, of which only events are recorded "
				 "(--max-processes)",
				 value);
		else
			snprintf(out, len, "it shares memory with a process that is not recorded");
		break;
	case CT_UNSOUND_FRAME: snprintf(out, len, "the frame of %s was not seen", signal_name(value, buf)); break;
	case CT_UNSOUND_INSN:
		snprintf(out, len, "an instruction with an unpredictable result at 0x%llx was not recorded", value);
		break;
	case CT_UNSOUND_PROBE:
		snprintf(out, len, "a thread may have been interrupted inside of a probe at 0x%llx", value);
		break;
	case CT_UNSOUND_CALL32:
		snprintf(out, len, "64-bit code has made the 32-bit system call %llu (int 0x80)", value);
		break;
	case CT_UNSOUND_VSYSCALL:
		snprintf(out, len, "it uses the vsyscall page, which only the kernel can execute (call %llu)", value);
		break;
	case CT_UNSOUND_PLACE:
		snprintf(out, len, "it uses memory at 0x%llx, where ctbpf or a replay keeps its own", value);
		break;
	default: snprintf(out, len, "for reason %u, which this version does not know", t->reason);
	}
	return out;
}
