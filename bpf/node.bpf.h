/* SPDX-License-Identifier: MIT OR GPL-2.0
 * Calls of JavaScript functions that V8 interprets: a part of calls.bpf.c.
 *
 * V8's collector moves objects. What stays is the number of a script, and that of a function in it: both are read with
 * each call, since an address alone may be that of another function by now. Names are read while the function begins:
 * then nothing is moved. */
#include "formats/v8_layout.h"

static __always_inline u16 v8_type(u64 object)
{
	u16 type = 0;

	if (object & 1)
		bpf_probe_read_user(&type, sizeof(type), (void *)(read64(object - 1) + V8_MAP_TYPE));
	return type;
}

struct v8_string {
	u64 from;
	u32 length, units; /* bytes of a character */
};
/* Where its characters lie in a row. */
static __noinline bool v8_string(u64 str, struct v8_string *s)
{
	u16 type = v8_type(str);

	if (!s)
		return false;
	for (int i = 0; i < 2; i++) {
		if ((type & V8_STRING_SHAPE) == V8_STRING_CONS) { /* flat, if nothing is behind it */
			u64 second = read64(str + V8_STRING_SECOND);

			if (bpf_probe_read_user(&s->length, 4, (void *)(second + V8_STRING_LENGTH)) || s->length)
				return false;
		} else if ((type & V8_STRING_SHAPE) != V8_STRING_THIN) {
			break;
		}
		str = read64(str + V8_STRING_FIRST);
		type = v8_type(str);
	}
	if (!(str & 1) || type >= V8_TYPE_NO_STRING ||
	    bpf_probe_read_user(&s->length, 4, (void *)(str + V8_STRING_LENGTH)))
		return false;
	s->units = type & V8_STRING_ONE_BYTE ? 1 : 2;
	s->from = str + V8_STRING_FIRST;
	if ((type & V8_STRING_SHAPE) == V8_STRING_EXTERNAL)
		s->from = read64(str + V8_STRING_SECOND);
	return !(type & V8_STRING_SHAPE) || (type & V8_STRING_SHAPE) == V8_STRING_EXTERNAL;
}

/* How many bytes of it there are then. */
static __always_inline u32 v8_text(const struct v8_string *s, char *to, u64 max, bool *cut)
{
	u64 len = (u64)s->length * s->units;

	if (len > max) {
		len = max;
		*cut = true;
	}
	OPAQUE(len);
	if (len > max || bpf_probe_read_user(to, len, (void *)s->from))
		return 0;
	return len;
}

struct v8_shared {
	u64 scope_info, outer, script;
	u16 length, formal, token;
	u8 properties, flags2;
	u32 flags, literal;
};
/* What follows the variables in a ScopeInfo, if all of it is there. */
struct v8_scope_end {
	u64 name, index, inferred, start;
};

static __always_inline void read_scope(u64 info, struct v8_scope_end *end)
{
	u64 head[3] = {}, at, count, flags; /* flags, parameters, variables */

	if (v8_type(info) != V8_TYPE_SCOPE_INFO ||
	    bpf_probe_read_user(head, sizeof(head), (void *)(info + V8_SCOPE_FLAGS)))
		return;
	flags = head[0] >> 32;
	count = head[2] >> 32;
	at = 3 + ((flags & V8_SCOPE_TYPE) == V8_SCOPE_MODULE) + (count < V8_SCOPE_INLINED ? count : 1) + count +
	     !!(flags & V8_SCOPE_SAVED);
	at = info + V8_SCOPE_FLAGS + 8 * at;
	if (flags & V8_SCOPE_FUNCTION) {
		end->name = read64(at);
		at += 16;
	}
	if (flags & V8_SCOPE_INFERRED) {
		end->inferred = read64(at);
		at += 8;
	}
	end->start = read64(at) >> 32;
}

static __noinline u32 intern_node(const struct ct_code_key *key, const struct v8_shared *shared)
{
	struct function_record *e = key && shared ? reserve_function() : NULL;
	struct v8_scope_end end = {};
	struct v8_string str = {};
	struct ct_node_name more = {};
	struct code code = {};
	u64 name = 0, file = 0, units = 0;
	bool cut = false;

	if (!e)
		return 0;
	read_scope(shared->scope_info, &end);
	if ((v8_string(end.name, &str) && str.length) || (v8_string(end.inferred, &str) && str.length)) {
		name = v8_text(&str, e->text, CT_CALL_NAME_MAX, &cut);
		units = str.units << CT_FNF_UNITS_NAME;
	}
	OPAQUE(name);
	if (name > CT_CALL_NAME_MAX)
		name = 0;
	if (v8_string(read64(shared->script + V8_SCRIPT_NAME), &str)) {
		file = v8_text(&str, e->text + name, CT_CALL_FILE_MAX, &cut);
		units |= str.units << CT_FNF_UNITS_FILE;
	}
	more.script = shared->script;
	more.id = key->filename >> 32;
	more.start = end.start;
	e->f.name_len = name;
	e->f.file_len = file;
	name += file;
	OPAQUE(name);
	if (name > CT_CALL_NAME_MAX + CT_CALL_FILE_MAX)
		name = 0;
	__builtin_memcpy(e->text + name, &more, sizeof(more));
	e->f.flags = CT_FNF_NODE | units | (cut ? CT_FNF_CUT : 0);
	e->f.language = CT_LANGUAGE_NAMED;
	return tell_function(e, name + sizeof(more), key, &code);
}

static __noinline int node_enter(const struct ct_vm_probe *vm, u64 function, u64 isolate, u64 sp)
{
	struct v8_shared shared;
	struct ct_code_key key = {.code = isolate};
	const struct code *known;
	u32 id;

	if (!vm)
		return 0;
	/* Another worker thread may get the isolate of one that has ended, and numbers begin again: so the address,
	 * too, must be the same. Where it is moved, the function is told of once more. */
	key.qualname = read64(function + V8_FUNCTION_SHARED);
	if (bpf_probe_read_user(&shared, sizeof(shared), (void *)(key.qualname + V8_SHARED_FROM))) {
		count(&stats.unreadable);
		return 0;
	}
	/* While a debugger has a breakpoint in it, something else is there that has the script. */
	if (v8_type(shared.script) != V8_TYPE_SCRIPT)
		shared.script = read64(shared.script + V8_DEBUG_INFO_SCRIPT);
	if (v8_type(shared.script) != V8_TYPE_SCRIPT) {
		count(&stats.unreadable);
		return 0;
	}
	key.filename = read64(shared.script + V8_SCRIPT_ID);
	key.line = shared.literal;
	key.tgid = vm->tgid;
	known = bpf_map_lookup_elem(&codes, &key);
	id = known ? known->id : intern_node(&key, &shared);
	return id ? enter(id, sp, NULL, 0) : 0;
}

static __noinline int node_leave(u64 sp)
{
	return leave(sp, 0, 0);
}

/* An exception has been caught where the stack pointer is this. */
static __noinline int node_catch(u64 sp)
{
	struct ending e = {.now = bpf_ktime_get_ns(), .s = this_stack(0), .flags = CT_LEFT_RAISED};

	if (!e.s)
		return 0;
	e.keep = still_open(e.s, sp, 0);
	end_calls(&e);
	return 0;
}

SEC("uprobe")
int ct_node(struct pt_regs *ctx)
{
	u64 cookie = bpf_get_attach_cookie(ctx), arguments;
	const struct ct_vm_probe *vm;
	u32 index = cookie;

	if (!wanted() || !(vm = bpf_map_lookup_elem(&vms, &index)))
		return 0;
	arguments = register_of(ctx, cookie >> 32 & 15);
	switch (cookie >> 40) {
	case CT_NODE_ENTERS: return node_enter(vm, ctx->di, ctx->r13, ctx->sp);
	case CT_NODE_LEAVES: return node_leave(ctx->sp - arguments - 8);
	case CT_NODE_CATCHES: return node_catch(ctx->sp);
	default: return 0;
	}
}
