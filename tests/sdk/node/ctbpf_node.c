/* SPDX-License-Identifier: MIT
 * ctbpf.h for Node.js: an addon by Node-API, which any version from 12 on loads. Whoever runs code in JavaScript, an
 * interpreter or a virtual machine, tells by it which functions and lines of its own it runs.
 *
 *   const ct = require("./ctbpf.node");
 *   const f = ct.define("name", "file", "language", line);
 *   ct.entry(f, depth); ct.line(f, depth, n); ct.exit(f, depth, raised);
 *   ct.value(f, depth, ct.ARGUMENT, "name", "type", value);   // boolean, number, bigint, string, Buffer; null: none
 *   ct.message("topic", ct.OUT, "text" or Buffer); ct.flush();
 *   ct.on.entry[0], .exit, .lines, .value, .message: not 0 while that is recorded, to be asked before all else.
 *
 * gcc -shared -fPIC -O2 -I NODE_API_HEADERS -I DIRECTORY_OF_CTBPF_H -o ctbpf.node ctbpf_node.c
 * (those of Node.js are in /usr/include/node, or in npm's package node-api-headers) */
#define NAPI_VERSION 6
#include <node_api.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ctbpf.h"

#define ARGS_MAX 6
#define TEXT_MAX 4096

/* The arguments of a call; false: there are fewer than that, and an exception is on its way. */
static bool get_args(napi_env env, napi_callback_info info, size_t want, napi_value argv[ARGS_MAX])
{
	size_t n = ARGS_MAX;

	if (napi_get_cb_info(env, info, &n, argv, NULL, NULL) == napi_ok && n >= want)
		return true;
	napi_throw_type_error(env, NULL, "ctbpf: too few arguments");
	return false;
}

static uint32_t get_u32(napi_env env, napi_value v)
{
	uint32_t n = 0;

	napi_get_value_uint32(env, v, &n);
	return n;
}

/* A copy that stays. */
static char *keep_text(napi_env env, napi_value v)
{
	size_t len = 0;
	char *text;

	if (napi_get_value_string_utf8(env, v, NULL, 0, &len) != napi_ok || !(text = malloc(len + 1)))
		return NULL;
	napi_get_value_string_utf8(env, v, text, len + 1, &len);
	return text;
}

/* Definitions stay for good: the kernel reads them, and no other may come in their place. */
static napi_value define(napi_env env, napi_callback_info info)
{
	napi_value argv[ARGS_MAX], handle;
	struct ctbpf_function *f;

	if (!get_args(env, info, 4, argv))
		return NULL;
	f = calloc(1, sizeof(*f));
	if (f) {
		f->name = keep_text(env, argv[0]);
		f->file = keep_text(env, argv[1]);
		f->language = keep_text(env, argv[2]);
		f->line = get_u32(env, argv[3]);
	}
	if (!f || !f->name || !f->file || !f->language ||
	    napi_create_external(env, f, NULL, NULL, &handle) != napi_ok) {
		napi_throw_type_error(env, NULL, "ctbpf.define(name, file, language, line)");
		return NULL;
	}
	return handle;
}

/* The first two arguments of most: NULL: they are no function and depth. */
static const struct ctbpf_function *get_call(napi_env env, napi_value argv[ARGS_MAX], uint64_t *depth)
{
	void *f = NULL;
	int64_t n = 0;

	if (napi_get_value_external(env, argv[0], &f) != napi_ok || napi_get_value_int64(env, argv[1], &n) != napi_ok ||
	    n < 1) {
		napi_throw_type_error(env, NULL, "ctbpf: a definition and a depth from 1 on are wanted");
		return NULL;
	}
	*depth = (uint64_t)n;
	return f;
}

static napi_value entry(napi_env env, napi_callback_info info)
{
	const struct ctbpf_function *f;
	napi_value argv[ARGS_MAX];
	uint64_t depth;

	if (get_args(env, info, 2, argv) && (f = get_call(env, argv, &depth)))
		ctbpf_entry(f, depth);
	return NULL;
}

static napi_value leave(napi_env env, napi_callback_info info)
{
	const struct ctbpf_function *f;
	napi_value argv[ARGS_MAX];
	bool raised = false;
	uint64_t depth;

	if (!get_args(env, info, 2, argv) || !(f = get_call(env, argv, &depth)))
		return NULL;
	napi_get_value_bool(env, argv[2], &raised);
	ctbpf_exit(f, depth, raised);
	return NULL;
}

static napi_value line(napi_env env, napi_callback_info info)
{
	const struct ctbpf_function *f;
	napi_value argv[ARGS_MAX];
	uint64_t depth;

	if (get_args(env, info, 3, argv) && (f = get_call(env, argv, &depth)))
		ctbpf_line(f, depth, get_u32(env, argv[2]));
	return NULL;
}

static napi_value flush(napi_env env, napi_callback_info info)
{
	(void)env, (void)info;
	ctbpf_flush();
	return NULL;
}

/* Bytes of a Buffer, or text in `text`; their number, or -1: it is neither. */
static int64_t get_data(napi_env env, napi_value v, char text[TEXT_MAX], const void **data)
{
	bool is_buffer = false;
	size_t len = 0;
	void *bytes;

	*data = text;
	if (napi_get_value_string_utf8(env, v, text, TEXT_MAX, &len) == napi_ok)
		return (int64_t)len;
	if (napi_is_buffer(env, v, &is_buffer) != napi_ok || !is_buffer ||
	    napi_get_buffer_info(env, v, &bytes, &len) != napi_ok)
		return -1;
	*data = bytes;
	return (int64_t)len;
}

static napi_value message(napi_env env, napi_callback_info info)
{
	char topic[64] = "", text[TEXT_MAX];
	napi_value argv[ARGS_MAX];
	const void *data;
	int64_t len;

	if (!get_args(env, info, 3, argv))
		return NULL;
	napi_get_value_string_utf8(env, argv[0], topic, sizeof(topic), NULL);
	len = get_data(env, argv[2], text, &data);
	if (len < 0)
		napi_throw_type_error(env, NULL, "ctbpf.message(topic, direction, string or Buffer)");
	else
		ctbpf_message(topic, (enum ctbpf_direction)get_u32(env, argv[1]), data, (size_t)len);
	return NULL;
}

/* Numbers that do not fit 64 bits are told as 32 bytes, the highest first. */
static void tell_bigint(napi_env env, const struct ctbpf_function *f, uint64_t depth, enum ctbpf_role role,
			const char *name, const char *type, napi_value v)
{
	uint64_t word[4] = {0};
	size_t words = 4;
	int negative = 0;
	unsigned char bytes[32];

	napi_get_value_bigint_words(env, v, &negative, &words, word);
	if (words <= 1) {
		ctbpf_number(f, depth, role, name, type, negative ? CTBPF_INT : CTBPF_UNSIGNED,
			     negative ? -word[0] : word[0]);
		return;
	}
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(word[3 - i / 8] >> (56 - i % 8 * 8));
	ctbpf_data(f, depth, role, name, type, CTBPF_BYTES, bytes, sizeof(bytes));
}

static void tell_number(napi_env env, const struct ctbpf_function *f, uint64_t depth, enum ctbpf_role role,
			const char *name, const char *type, napi_value v)
{
	double d = 0;

	napi_get_value_double(env, v, &d);
	if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d)
		ctbpf_number(f, depth, role, name, type, CTBPF_INT, (uint64_t)(int64_t)d);
	else
		ctbpf_number(f, depth, role, name, type, CTBPF_FLOAT, ctbpf_float(d));
}

static napi_value value(napi_env env, napi_callback_info info)
{
	char name[64] = "", type[64] = "", text[TEXT_MAX];
	const struct ctbpf_function *f;
	napi_value argv[ARGS_MAX];
	enum ctbpf_role role;
	napi_valuetype kind;
	const void *data;
	bool yes = false;
	uint64_t depth;
	int64_t len;

	if (!ctbpf_values_wanted() || !get_args(env, info, 6, argv) || !(f = get_call(env, argv, &depth)))
		return NULL;
	role = (enum ctbpf_role)get_u32(env, argv[2]);
	napi_get_value_string_utf8(env, argv[3], name, sizeof(name), NULL);
	napi_get_value_string_utf8(env, argv[4], type, sizeof(type), NULL);
	napi_typeof(env, argv[5], &kind);
	switch (kind) {
	case napi_number: tell_number(env, f, depth, role, name, type, argv[5]); break;
	case napi_bigint: tell_bigint(env, f, depth, role, name, type, argv[5]); break;
	case napi_boolean:
		napi_get_value_bool(env, argv[5], &yes);
		ctbpf_number(f, depth, role, name, type, CTBPF_BOOL, yes);
		break;
	default:
		len = get_data(env, argv[5], text, &data);
		ctbpf_data(f, depth, role, name, type,
			   len < 0        ? CTBPF_NONE
			   : data == text ? CTBPF_STRING
					  : CTBPF_BYTES,
			   data, len < 0 ? 0 : (size_t)len);
	}
	return NULL;
}

static void set_number(napi_env env, napi_value to, const char *name, uint32_t n)
{
	napi_value v;

	if (napi_create_uint32(env, n, &v) == napi_ok)
		napi_set_named_property(env, to, name, v);
}

/* The kernel counts in this word how many record; JavaScript reads it without a call. */
static void set_semaphore(napi_env env, napi_value to, const char *name, volatile uint16_t *word)
{
	napi_value buffer, array;

	if (napi_create_external_arraybuffer(env, (void *)word, sizeof(*word), NULL, NULL, &buffer) == napi_ok &&
	    napi_create_typedarray(env, napi_uint16_array, 1, buffer, 0, &array) == napi_ok)
		napi_set_named_property(env, to, name, array);
}

NAPI_MODULE_INIT()
{
	static const struct {
		const char *name;
		napi_callback call;
	} calls[] = {{"define", define}, {"entry", entry}, {"exit", leave},     {"line", line},
		     {"flush", flush},   {"value", value}, {"message", message}};
	napi_value on;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		napi_value f;

		if (napi_create_function(env, calls[i].name, NAPI_AUTO_LENGTH, calls[i].call, NULL, &f) == napi_ok)
			napi_set_named_property(env, exports, calls[i].name, f);
	}
	set_number(env, exports, "VARIABLE", CTBPF_VARIABLE);
	set_number(env, exports, "ARGUMENT", CTBPF_ARGUMENT);
	set_number(env, exports, "RESULT", CTBPF_RESULT);
	set_number(env, exports, "ABOUT", CTBPF_ABOUT);
	set_number(env, exports, "IN", CTBPF_IN);
	set_number(env, exports, "OUT", CTBPF_OUT);
	if (napi_create_object(env, &on) == napi_ok) {
		set_semaphore(env, on, "entry", &ctbpf_on_entry);
		set_semaphore(env, on, "exit", &ctbpf_on_exit);
		set_semaphore(env, on, "lines", &ctbpf_on_lines);
		set_semaphore(env, on, "value", &ctbpf_on_value);
		set_semaphore(env, on, "message", &ctbpf_on_message);
		napi_set_named_property(env, exports, "on", on);
	}
	return exports;
}
