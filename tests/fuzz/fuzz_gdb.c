/* SPDX-License-Identifier: MIT
 * Fuzzing gdb's remote protocol: the input is what a peer sends. Every packet in it, and the input itself as one, is
 * taken apart as all requests that have a structure, and run as a condition. */
#include "replay/gdb_cond.c"
#include "replay/gdb_packet.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sink;

static bool reg(void *ctx, ct_u64 number, ct_u64 *value)
{
	(void)ctx;
	*value = number * 0x0123456789abcdef;
	return number < 64;
}
static bool memory(void *ctx, ct_u64 addr, void *buf, size_t len)
{
	(void)ctx;
	memset(buf, (int)addr, len);
	return addr & 7;
}

static void take_apart(const char *data, size_t len)
{
	const struct ct_gdb_machine machine = {reg, memory, NULL};
	const struct ct_gdb_text all = {data, data + len};
	struct ct_gdb_text t;
	struct ct_gdb_point point;
	struct ct_gdb_action action;
	struct ct_gdb_thread id;
	struct ct_gdb_xfer x;
	struct ct_gdb_out o = {0};
	unsigned char bytes[64];
	ct_u64 number;
	ct_s64 tid;
	size_t n;

	sink += ct_gdb_parse_point(all, &point) + ct_gdb_parse_cont(all, 7, &action) + ct_gdb_stepped(all, &tid);
	sink += ct_gdb_conditions_met(all, &machine) + ct_gdb_evaluate((const unsigned char *)data, len, &machine);
	t = all;
	sink += ct_gdb_thread(&t, &id);
	t = all;
	if (ct_gdb_bytes(&t, bytes, sizeof(bytes), &n))
		for (size_t i = 0; i < n; i++)
			sink += bytes[i];
	t = all;
	while (t.p < t.end) {
		struct ct_gdb_text part = ct_gdb_until(&t, ';');

		sink += ct_gdb_word(&part, "multiprocess+") + ct_gdb_hex(&part, &number);
	}
	if (ct_gdb_parse_xfer(all, &x)) {
		ct_gdb_put_part(&o, &x, data, len);
		ct_gdb_put_xml(&o, x.annex);
	}
	ct_gdb_put_hex(&o, data, len);
	ct_gdb_put_binary(&o, data, len);
	ct_gdb_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ct_gdb_in in;
	char *copy = malloc(size + 1);

	in.state = 0;
	memcpy(copy, data, size);
	take_apart(copy, size);
	free(copy);
	for (size_t i = 0; i < size; i++)
		if (ct_gdb_feed(&in, data[i]) == CT_GDB_PACKET) {
			copy = malloc(in.len + 1); /* so that reading too far is seen */
			memcpy(copy, in.data, in.len);
			take_apart(copy, in.len);
			free(copy);
		}
	return 0;
}
