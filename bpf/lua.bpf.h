/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Calls of Lua functions: a part of calls.bpf.c, by the means of sdk.bpf.h and ruby.bpf.h.
 *
 * luaV_execute runs a function that another one calls in itself; C functions call it again. So a call is kept with
 * where the return address of its luaV_execute is, as native ones are; `told` is its CallInfo. Errors and coroutines
 * that yield jump to a place that the thread knows. */

/* CallInfo, lua_State, LClosure, Proto, TString of 5.4.4. */
#define CI_FUNCTION   0
#define CI_PREVIOUS   16
#define CI_NEXT_INSN  32
#define CI_STATUS     62
#define CI_IS_C       2
#define CI_IS_TAIL    32
#define LUA_CATCHES   88 /* errorJmp */
#define LUA_YIELDS    1  /* LUA_YIELD */
#define CLOSURE_PROTO 24
#define PROTO_LINE    44
#define PROTO_SOURCE  112
#define TS_KIND       8
#define TS_IS_LONG    16
#define TS_SHORT_LEN  11
#define TS_LEN        16
#define TS_TEXT       24

/* What is run: the Proto. */
static __always_inline u64 proto_of(u64 ci)
{
	return read64(read64(read64(ci + CI_FUNCTION)) + CLOSURE_PROTO);
}

static __noinline u32 intern_lua(const struct ct_code_key *key, u64 ci, u32 status)
{
	struct function_record *e = key ? reserve_function() : NULL;
	u64 from, previous, len = 0;
	struct ct_lua_name name = {};
	struct code code = {};
	bool cut = false;
	u16 caller = 0;
	u8 byte = 0;

	if (!e)
		return 0;
	previous = read64(ci + CI_PREVIOUS);
	bpf_probe_read_user(&caller, sizeof(caller), (void *)(previous + CI_STATUS));
	if (!(status & CI_IS_TAIL) && !(caller & CI_IS_C)) {
		name.caller = proto_of(previous);
		name.next = read64(previous + CI_NEXT_INSN);
	}
	from = key->filename;
	if (!bpf_probe_read_user(&byte, 1, (void *)(from + TS_KIND)) && (byte & TS_IS_LONG)) {
		len = read64(from + TS_LEN);
	} else {
		bpf_probe_read_user(&byte, 1, (void *)(from + TS_SHORT_LEN));
		len = byte;
	}
	if (len > CT_CALL_FILE_MAX) {
		len = CT_CALL_FILE_MAX;
		cut = true;
	}
	OPAQUE(len);
	if (!from || len > CT_CALL_FILE_MAX || bpf_probe_read_user(e->text, len, (void *)(from + TS_TEXT)))
		len = 0;
	e->f.name_len = 0;
	e->f.file_len = len;
	OPAQUE(len);
	if (len > CT_CALL_FILE_MAX)
		len = 0;
	__builtin_memcpy(e->text + len, &name, sizeof(name));
	e->f.flags = CT_FNF_LUA | (cut ? CT_FNF_CUT : 0);
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, len + sizeof(name), key, &code);
}

static __noinline int lua_enter(const struct ct_vm_probe *vm, u64 ci, u64 sp, u32 same)
{
	struct open_call c = {.told = ci, .sp = sp};
	struct ct_code_key key = {};
	const struct code *known;
	struct call_stack *s;
	u16 status = 0;
	u32 depth;

	if (!vm)
		return 0;
	key.code = proto_of(ci);
	if (bpf_probe_read_user(&key.line, sizeof(key.line), (void *)(key.code + PROTO_LINE)) ||
	    bpf_probe_read_user(&status, sizeof(status), (void *)(ci + CI_STATUS))) {
		count(&stats.unreadable);
		return 0;
	}
	key.filename = read64(key.code + PROTO_SOURCE);
	key.tgid = vm->tgid;
	known = bpf_map_lookup_elem(&codes, &key);
	c.function = known ? known->id : intern_lua(&key, ci, status);
	if (!c.function)
		return 0;
	s = this_stack(BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!s) {
		count(&stats.no_room);
		return 0;
	}
	depth = still_open(s, sp - same, 0);
	/* The one that was run here before has ended by a tail call. */
	if (same && depth && depth <= CT_CALL_DEPTH && call_at(s, depth - 1)->sp == sp &&
	    call_at(s, depth - 1)->told == ci) {
		c.tail = 1;
		depth--;
	}
	push(s, depth, &c, NULL);
	return 0;
}

static __noinline int lua_leave(u64 ci, u64 sp)
{
	struct call_stack *s = this_stack(0);
	u32 depth = s ? still_open(s, sp - 1, 0) : 0;
	const struct open_call *c;

	if (!depth || depth > CT_CALL_DEPTH)
		return 0;
	cut(s, depth);
	c = call_at(s, depth - 1);
	return c->sp == sp && c->told == ci ? pop(s, depth, 0, 0) : 0;
}

static __noinline int lua_throw(u64 lua, u32 status)
{
	struct ending e = {.now = bpf_ktime_get_ns(), .s = this_stack(0)};
	u64 caught = read64(lua + LUA_CATCHES);

	if (!e.s || !caught) /* the main thread is asked next */
		return 0;
	e.keep = still_open(e.s, caught, 0);
	e.flags = status == LUA_YIELDS ? 0 : CT_LEFT_RAISED;
	end_calls(&e);
	return 0;
}

SEC("uprobe")
int ct_lua(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), ci;
	const struct ct_vm_probe *vm;
	u32 index = cookie;

	if (!wanted() || !(vm = bpf_map_lookup_elem(&vms, &index)))
		return 0;
	ci = register_of(ctx, cookie >> 32 & 15);
	switch (cookie >> 40) {
	case CT_LUA_BEGINS: return lua_enter(vm, ci, ctx->sp, 0);
	case CT_LUA_ENTERS: return lua_enter(vm, ci, ctx->sp + vm->frame, 1);
	case CT_LUA_LEAVES: return lua_leave(ci, ctx->sp + vm->frame);
	case CT_LUA_THROWS: return lua_throw(ctx->di, ctx->si);
	default: return 0;
	}
}
