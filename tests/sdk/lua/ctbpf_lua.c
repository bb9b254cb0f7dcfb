/* SPDX-License-Identifier: MIT
 * ctbpf.h for Lua 5.4: a module. With its hook a program tells of all its Lua functions, their arguments and lines.
 *
 *   local ct = require "ctbpf"
 *   ct.hook()          -- in this coroutine; ct.hook(co) in another; ct.unhook() ends it
 *   ct.message("topic", "in"|"out"|nil, text)
 *
 * While nobody records, the hook costs what any hook of Lua's does: some ten nanoseconds a line.
 *
 * gcc -shared -fPIC -O2 -I/usr/include/lua5.4 -I DIRECTORY_OF_CTBPF_H -o ctbpf.so ctbpf_lua.c */
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "ctbpf.h"

static const char functions_key = 0, threads_key = 0; /* their addresses are keys */

/* A table of ours; 1: its keys are weak. */
static void get_table(lua_State *L, const char *key, int weak)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	if (weak) {
		lua_newtable(L);
		lua_pushliteral(L, "k");
		lua_setfield(L, -2, "__mode");
		lua_setmetatable(L, -2);
	}
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* A number for each coroutine, from 1 on: which of the thread's stacks it is. */
static uint64_t stack_number(lua_State *L)
{
	lua_Integer n;

	get_table(L, &threads_key, 1);
	lua_pushthread(L);
	if (lua_rawget(L, -2) != LUA_TNUMBER) {
		lua_rawgeti(L, -2, 1); /* the last number given */
		n = lua_tointeger(L, -1) + 1;
		lua_pushinteger(L, n);
		lua_rawseti(L, -4, 1);
		lua_pushthread(L);
		lua_pushinteger(L, n);
		lua_rawset(L, -5);
		lua_pop(L, 1);
	} else {
		n = lua_tointeger(L, -1);
	}
	lua_pop(L, 2);
	return (uint64_t)n & 0x3fffffff;
}

/* How many functions are running: Lua tells only whether there is one at a level. */
static unsigned count_levels(lua_State *L)
{
	unsigned low = 0, high = 1; /* there is one at low, none at high */
	lua_Debug ar;

	while (lua_getstack(L, (int)high, &ar)) {
		low = high;
		high *= 2;
	}
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (lua_getstack(L, (int)middle, &ar))
			low = middle;
		else
			high = middle;
	}
	return low + 1;
}

/* By the name that it is called by first, if Lua knows one (not of what C or a tail call calls), and where it is
 * defined. Definitions stay for good. */
static const struct ctbpf_function *define(lua_State *L, lua_Debug *ar)
{
	struct ctbpf_function *f;
	char name[128], *text;
	size_t len, file_len;

	lua_getinfo(L, "Sn", ar);
	get_table(L, &functions_key, 0);
	lua_pushfstring(L, "%s:%d", ar->source, ar->linedefined);
	lua_pushvalue(L, -1);
	if (lua_rawget(L, -3) == LUA_TLIGHTUSERDATA) {
		f = lua_touserdata(L, -1);
		lua_pop(L, 3);
		return f;
	}
	lua_pop(L, 1);
	if (!strcmp(ar->what, "main"))
		len = (size_t)snprintf(name, sizeof(name), "main chunk");
	else
		len = ar->name ? (size_t)snprintf(name, sizeof(name), "%s", ar->name)
			       : (size_t)snprintf(name, sizeof(name), "function <%s:%d>", ar->short_src,
						  ar->linedefined);
	len = len < sizeof(name) ? len : sizeof(name) - 1;
	file_len = strlen(ar->source);
	f = malloc(sizeof(*f) + len + 1 + file_len + 1);
	if (!f)
		luaL_error(L, "ctbpf: out of memory");
	text = (char *)(f + 1);
	memcpy(text, name, len + 1);
	memcpy(text + len + 1, ar->source + (*ar->source == '@'), file_len + (*ar->source != '@'));
	*f = (struct ctbpf_function){text, text + len + 1, "lua", ar->linedefined > 0 ? (uint32_t)ar->linedefined : 1};
	lua_pushlightuserdata(L, f);
	lua_rawset(L, -3);
	lua_pop(L, 1);
	return f;
}

static void tell_value(lua_State *L, const struct ctbpf_function *f, uint64_t depth, enum ctbpf_role role,
		       const char *name, int at)
{
	const char *type = luaL_typename(L, at), *text;
	size_t len;

	switch (lua_type(L, at)) {
	case LUA_TNIL: ctbpf_number(f, depth, role, name, type, CTBPF_NONE, 0); break;
	case LUA_TBOOLEAN: ctbpf_number(f, depth, role, name, type, CTBPF_BOOL, (uint64_t)lua_toboolean(L, at)); break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, at))
			ctbpf_number(f, depth, role, name, type, CTBPF_INT, (uint64_t)lua_tointeger(L, at));
		else
			ctbpf_number(f, depth, role, name, type, CTBPF_FLOAT, ctbpf_float(lua_tonumber(L, at)));
		break;
	case LUA_TSTRING:
		text = lua_tolstring(L, at, &len);
		ctbpf_data(f, depth, role, name, type, CTBPF_STRING, text, len);
		break;
	default: break; /* tables and the like have no value in short */
	}
}

static void tell_arguments(lua_State *L, lua_Debug *ar, const struct ctbpf_function *f, uint64_t depth)
{
	const char *name;

	lua_getinfo(L, "u", ar);
	for (int i = 1; i <= ar->nparams && (name = lua_getlocal(L, ar, i)); i++) {
		tell_value(L, f, depth, CTBPF_ARGUMENT, name, -1);
		lua_pop(L, 1);
	}
}

/* Coroutines that have resumed one another, by number. */
#define ACTIVE_MAX 64
static __thread uint64_t active[ACTIVE_MAX];
static __thread unsigned nactive;

/* Lua tells nobody of resume and yield, but of another stack's line. Who yields has left its functions for whoever has
 * resumed it: when it goes on, they are called anew, but for the one that an event is about to tell of. */
static void switch_to(lua_State *L, uint64_t stack, unsigned levels, int calls)
{
	for (unsigned i = nactive; i--;)
		if (active[i] == stack) {
			nactive = i + 1;
			return;
		}
	if (nactive < ACTIVE_MAX)
		active[nactive++] = stack;
	if (nactive == 1) /* what was under way when the recording began is not told of */
		return;
	for (unsigned level = levels; level-- > (calls ? 1u : 0u);) {
		lua_Debug ar;

		if (lua_getstack(L, (int)level, &ar) && lua_getinfo(L, "S", &ar) && *ar.what != 'C')
			ctbpf_entry(define(L, &ar), stack << 32 | (levels - level));
	}
}

static void on_event(lua_State *L, lua_Debug *ar)
{
	const struct ctbpf_function *f;
	uint64_t stack, depth;
	unsigned levels;

	if (!ctbpf_on_entry && !ctbpf_on_exit && !ctbpf_on_lines)
		return;
	lua_getinfo(L, "Sl", ar);
	if (*ar->what == 'C')
		return;
	f = define(L, ar);
	stack = stack_number(L);
	levels = count_levels(L);
	depth = stack << 32 | levels;
	switch_to(L, stack, levels, ar->event == LUA_HOOKCALL);
	switch (ar->event) {
	case LUA_HOOKCALL:
	case LUA_HOOKTAILCALL: /* in the place of its caller, which is over */
		ctbpf_entry(f, depth);
		if (ctbpf_values_wanted())
			tell_arguments(L, ar, f, depth);
		break;
	case LUA_HOOKRET:
		if (ctbpf_values_wanted()) {
			lua_getinfo(L, "r", ar);
			for (int i = 0; i < ar->ntransfer; i++)
				if (lua_getlocal(L, ar, ar->ftransfer + i)) {
					tell_value(L, f, depth, CTBPF_RESULT, "", -1);
					lua_pop(L, 1);
					break; /* the first of them */
				}
		}
		ctbpf_exit(f, depth, 0);
		break;
	case LUA_HOOKLINE: ctbpf_line(f, depth, (uint32_t)ar->currentline); break;
	default: break;
	}
}

static lua_State *which(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);

	return co ? co : L;
}
static int hook(lua_State *L)
{
	lua_sethook(which(L), on_event, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE, 0);
	return 0;
}
static int unhook(lua_State *L)
{
	ctbpf_flush();
	lua_sethook(which(L), NULL, 0, 0);
	return 0;
}
static int message(lua_State *L)
{
	const char *direction = luaL_optstring(L, 2, ""), *text;
	size_t len;

	text = luaL_checklstring(L, 3, &len);
	ctbpf_message(luaL_checkstring(L, 1),
		      !strcmp(direction, "in")    ? CTBPF_IN
		      : !strcmp(direction, "out") ? CTBPF_OUT
						  : CTBPF_ABOUT,
		      text, len);
	return 0;
}

int luaopen_ctbpf(lua_State *L)
{
	static const luaL_Reg calls[] = {{"hook", hook}, {"unhook", unhook}, {"message", message}, {NULL, NULL}};

	luaL_newlib(L, calls);
	return 1;
}
