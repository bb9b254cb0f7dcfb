// SPDX-License-Identifier: MIT
/* Memory and registers as gdb reads and writes them. What it writes goes to a diversion. */
#include <stdlib.h>
#include <string.h>

#include "replay/gdb_priv.h"

#define MOST_READ 0x8000 /* bytes of memory in a reply */

void ct_gdb_read_memory(struct ct_gdb *g, struct ct_gdb_text t)
{
	struct ct_session *s = ct_timeline_session(g->tl);
	ct_u64 addr, len, done = 0;
	unsigned char page[4096];

	if (!ct_gdb_hex(&t, &addr) || !ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &len)) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	if (len > MOST_READ)
		len = MOST_READ;
	while (done < len) {
		ct_u64 n = sizeof(page) - (addr + done) % sizeof(page);

		if (n > len - done)
			n = len - done;
		if (ct_session_read(s, ct_timeline_pid(g->tl), addr + done, page, n, NULL))
			break;
		ct_gdb_put_hex(&g->out, page, n);
		done += n;
	}
	if (!done)
		ct_gdb_putf(&g->out, len ? "E0e" : "");
}

static bool divert(struct ct_gdb *g)
{
	struct ct_error err;

	if (!ct_timeline_divert(g->tl, &err))
		return true;
	ct_gdb_say_error(g, &err);
	return false;
}

void ct_gdb_write_memory(struct ct_gdb *g, struct ct_gdb_text t, bool binary)
{
	ct_u64 addr, len;
	unsigned char *data;
	size_t n = 0;
	bool good;

	if (!ct_gdb_hex(&t, &addr) || !ct_gdb_word(&t, ",") || !ct_gdb_hex(&t, &len) || !ct_gdb_word(&t, ":") ||
	    len > CT_GDB_PACKET_MAX) {
		ct_gdb_putf(&g->out, "E16");
		return;
	}
	if (!len) { /* gdb asks whether X is known */
		ct_gdb_putf(&g->out, "OK");
		return;
	}
	data = malloc(len);
	if (data && binary && (ct_u64)(t.end - t.p) == len) {
		memcpy(data, t.p, len);
		n = len;
	} else if (data && !binary && !ct_gdb_bytes(&t, data, len, &n)) {
		n = 0;
	}
	good = data && n == len && !ct_timeline_write(g->tl, addr, data, len, NULL);
	free(data);
	ct_gdb_putf(&g->out, good ? "OK" : "E0e");
}

void ct_gdb_registers(struct ct_gdb *g, struct ct_gdb_text t, char what)
{
	ct_u64 number;
	bool good = false;

	switch (what) {
	case 'g': good = ct_gdb_put_regs(g, g->tid); break;
	case 'p': good = ct_gdb_hex(&t, &number) && ct_gdb_put_reg(g, g->tid, number); break;
	case 'G': good = divert(g) && ct_gdb_set_regs(g, g->tid, t); break;
	case 'P':
		good = ct_gdb_hex(&t, &number) && ct_gdb_word(&t, "=") && divert(g) &&
		       ct_gdb_set_reg(g, g->tid, number, t);
		break;
	}
	if (!good) {
		ct_gdb_clear(&g->out);
		ct_gdb_putf(&g->out, "E01");
	} else if (what == 'G' || what == 'P') {
		ct_gdb_putf(&g->out, "OK");
	}
}
