/* SPDX-License-Identifier: MIT
 * What is in an export, as protobuf-c reads it: decode perfetto|profile <FILE. One field a line, in the order of their
 * numbers; text.py prints the same of what Google's library has read. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perfetto.pb-c.h"
#include "profile.pb-c.h"

static void put_message(const ProtobufCMessage *m, int depth);

static void put_bytes(const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

static void put_value(const ProtobufCFieldDescriptor *f, const void *at, int depth)
{
	const ProtobufCBinaryData *bytes = at;

	printf("%*s%u ", depth, "", f->id);
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM: printf("%" PRId32 "\n", *(const int32_t *)at); break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32: printf("%" PRIu32 "\n", *(const uint32_t *)at); break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64: printf("%" PRId64 "\n", *(const int64_t *)at); break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64: printf("%" PRIu64 "\n", *(const uint64_t *)at); break;
	case PROTOBUF_C_TYPE_BOOL: printf("%d\n", *(const protobuf_c_boolean *)at != 0); break;
	case PROTOBUF_C_TYPE_FLOAT: printf("%.17g\n", (double)*(const float *)at); break;
	case PROTOBUF_C_TYPE_DOUBLE: printf("%.17g\n", *(const double *)at); break;
	case PROTOBUF_C_TYPE_STRING:
		put_bytes(*(const unsigned char *const *)at, strlen(*(const char *const *)at));
		break;
	case PROTOBUF_C_TYPE_BYTES: put_bytes(bytes->data, bytes->len); break;
	case PROTOBUF_C_TYPE_MESSAGE:
		puts("{");
		put_message(*(const ProtobufCMessage *const *)at, depth + 1);
		printf("%*s}\n", depth, "");
		break;
	}
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE: return 8;
	case PROTOBUF_C_TYPE_BOOL: return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	default: return 4;
	}
}

/* proto3 does not say whether a field is there, but it is not if it is zero. */
static int is_set(const ProtobufCFieldDescriptor *f, const char *m)
{
	static const char zero[sizeof(ProtobufCBinaryData)];
	const char *at = m + f->offset;

	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(m + f->quantifier_offset) == f->id;
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE) {
		const char *to = *(const char *const *)at;

		return to && to != f->default_value &&
		       (f->label != PROTOBUF_C_LABEL_NONE || f->type == PROTOBUF_C_TYPE_MESSAGE || *to);
	}
	return f->label == PROTOBUF_C_LABEL_OPTIONAL ? *(const protobuf_c_boolean *)(m + f->quantifier_offset)
						     : memcmp(at, zero, size_of(f)) != 0;
}

static void put_message(const ProtobufCMessage *message, int depth)
{
	const char *m = (const char *)message;

	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			const size_t n = *(const size_t *)(m + f->quantifier_offset);

			for (size_t k = 0; k < n; k++)
				put_value(f, *(const char *const *)(m + f->offset) + k * size_of(f), depth);
		} else if (f->label == PROTOBUF_C_LABEL_REQUIRED || is_set(f, m)) {
			put_value(f, m + f->offset, depth);
		}
	}
}

int main(int argc, char **argv)
{
	const int perfetto = argc == 2 && !strcmp(argv[1], "perfetto");
	const ProtobufCMessageDescriptor *type =
		perfetto ? &test__perfetto__trace__descriptor : &test__pprof__profile__descriptor;
	unsigned char *data = NULL;
	size_t len = 0, got = 0;
	ProtobufCMessage *m;

	do {
		data = realloc(data, len + 65536);
		if (!data)
			return 1;
		got = fread(data + len, 1, 65536, stdin);
		len += got;
	} while (got);
	m = protobuf_c_message_unpack(type, NULL, len, data);
	if (!m) {
		fprintf(stderr, "decode: protobuf-c cannot read it\n");
		return 1;
	}
	put_message(m, 0);
	protobuf_c_message_free_unpacked(m, NULL);
	free(data);
	return 0;
}
