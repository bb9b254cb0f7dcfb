/* SPDX-License-Identifier: MIT
 * Native code: instructions, and memory as bytes. */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/dap_native.h"

#define LONGEST     15
#define MOST_INSNS  10000
#define MOST_MEMORY (1u << 20)
#define BEFORE      4096 /* bytes that are looked through for the instructions before one */

static const ZydisDecoder *decoder(void)
{
	static __thread ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return &dec;
}

/* Bytes from an address on, as many as there are. */
static size_t code_at(struct dap_native *d, ct_u64 addr, ct_u8 *code, size_t len)
{
	while (len && !d->mem.read(d->mem.ctx, addr, code, len))
		len--;
	return len;
}

unsigned native_insn(struct dap_native *d, ct_u64 addr, bool *is_call)
{
	ZydisDecodedInstruction insn;
	ct_u8 code[LONGEST];
	const size_t len = code_at(d, addr, code, sizeof(code));

	*is_call = false;
	if (!len || !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder(), NULL, code, len, &insn)))
		return 0;
	*is_call = insn.mnemonic == ZYDIS_MNEMONIC_CALL;
	return insn.length;
}

ct_u64 native_call_before(struct dap_native *d, const struct ct_dwarf_function *f, ct_u64 addr)
{
	ct_u64 at = f->low;
	bool is_call;
	unsigned len;

	/* A call is 2 to 7 bytes long; most places are behind none. */
	for (len = 2; len <= 7; len++)
		if (native_insn(d, addr - len, &is_call) == len && is_call)
			break;
	if (len > 7)
		return 0;
	while (at < addr && (len = native_insn(d, at, &is_call))) {
		if (at + len == addr)
			return is_call ? at : 0;
		at += len;
	}
	return 0;
}

static json_t *instruction(struct dap_native *d, ct_u64 addr, unsigned *length)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction insn;
	ZydisFormatter formatter;
	struct ct_dwarf_function f;
	struct ct_dwarf_line line;
	ct_u8 code[LONGEST];
	char text[160] = "(bad)", bytes[3 * LONGEST + 1] = "", at[32];
	const size_t len = code_at(d, addr, code, sizeof(code));
	json_t *o;

	snprintf(at, sizeof(at), "%#llx", (unsigned long long)addr);
	*length = 1;
	if (!len)
		return json_pack("{s:s, s:s, s:s}", "address", at, "instruction", "(no memory)", "presentationHint",
				 "invalid");
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
	if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder(), code, len, &insn, ops)) &&
	    ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible, text,
							 sizeof(text), addr, NULL)))
		*length = insn.length;
	for (unsigned i = 0; i < *length && i < len; i++)
		snprintf(bytes + 3 * i, 4, "%02x ", code[i]);
	o = json_pack("{s:s, s:s, s:s}", "address", at, "instructionBytes", bytes, "instruction", text);
	if (o && ct_dwarf_function_at(d->dw, addr, &f) && addr == f.entry && f.name)
		json_object_set_new(o, "symbol", dap_text(f.name, strlen(f.name)));
	if (o && ct_dwarf_line_at(d->dw, addr, &line)) {
		json_object_set_new(o, "location", native_source(d, line.file));
		json_object_set_new(o, "line", json_integer(line.line));
	}
	return o;
}

/* The address `count` instructions before this one: decoded from the function's beginning, else from anywhere before.
 */
static ct_u64 before(struct dap_native *d, ct_u64 addr, size_t count)
{
	struct ct_dwarf_function f;
	ct_u64 *starts, at, result = addr;
	size_t n = 0;
	bool is_call;
	unsigned len;

	starts = malloc(BEFORE * sizeof(*starts));
	at = ct_dwarf_function_at(d->dw, addr, &f) && addr - f.low < BEFORE && addr != f.low ? f.low
											     : addr - LONGEST * 4;
	while (starts && at < addr && n < BEFORE && (len = native_insn(d, at, &is_call))) {
		starts[n++] = at;
		at += len;
	}
	if (n && at == addr)
		result = starts[count < n ? n - count : 0];
	else
		n = 0;
	free(starts);
	if (count > n && n && result != addr)
		return before(d, result, count - n);
	return count <= n ? result : addr - (count - n);
}

json_t *dap_native_disassemble(struct dap_debuggee *base, ct_u64 addr, ct_s64 offset, size_t count,
			       struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	json_t *list = json_array();
	bool is_call;
	unsigned len;

	if (count > MOST_INSNS || offset < -MOST_INSNS || offset > MOST_INSNS) {
		json_decref(list);
		ct_fail(err, CT_EXIT_USAGE, "more than %d instructions", MOST_INSNS);
		return NULL;
	}
	if (offset < 0)
		addr = before(d, addr, (size_t)-offset);
	for (; offset > 0; offset--)
		addr += (len = native_insn(d, addr, &is_call)) ? len : 1;
	while (count--) {
		json_array_append_new(list, instruction(d, addr, &len));
		addr += len;
	}
	return json_pack("{s:o}", "instructions", list);
}

/* ---- memory ---- */

static char *base64(const ct_u8 *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = malloc((len + 2) / 3 * 4 + 1), *p = out;

	for (size_t i = 0; out && i < len; i += 3) {
		const size_t left = len - i;
		const ct_u32 v = (ct_u32)data[i] << 16 | (left > 1 ? (ct_u32)data[i + 1] << 8 : 0) |
				 (left > 2 ? data[i + 2] : 0);

		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*p++ = left > 2 ? digits[v & 63] : '=';
	}
	if (out)
		*p = 0;
	return out;
}

json_t *dap_native_memory(struct dap_debuggee *base, ct_u64 addr, size_t count, struct ct_error *err)
{
	struct dap_native *d = dap_native_of(base);
	const size_t want = count < MOST_MEMORY ? count : MOST_MEMORY;
	ct_u8 *data = malloc(want ? want : 1);
	char *text, at[32];
	size_t got = 0;
	json_t *o;

	while (data && got < want) {
		size_t n = 4096 - (addr + got) % 4096;

		n = n < want - got ? n : want - got;
		if (!d->mem.read(d->mem.ctx, addr + got, data + got, n))
			break;
		got += n;
	}
	text = data ? base64(data, got) : NULL;
	free(data);
	if (!text) {
		native_no_memory(err);
		return NULL;
	}
	snprintf(at, sizeof(at), "%#llx", (unsigned long long)addr);
	o = json_pack("{s:s}", "address", at);
	if (got)
		json_object_set_new(o, "data", json_string(text));
	if (got < count)
		json_object_set_new(o, "unreadableBytes", json_integer((json_int_t)(count - got)));
	free(text);
	return o;
}
