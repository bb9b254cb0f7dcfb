/* SPDX-License-Identifier: MIT
 * Where V8 11.3 (Node.js 20), without compressed pointers, keeps what calls are told by: for bpf/node.bpf.h, which
 * reads functions and names, and user/calls_node_names.c, which reads sources.
 *
 * Offsets from pointers as they are stored: with their tag, from which one is subtracted. */
#ifndef CT_V8_LAYOUT_H
#define CT_V8_LAYOUT_H

#define V8_MAP_TYPE          11
#define V8_FUNCTION_SHARED   23
#define V8_SHARED_FROM       15 /* name_or_scope_info */
#define V8_DEBUG_INFO_SCRIPT 23
#define V8_SCRIPT_SOURCE     7
#define V8_SCRIPT_NAME       15
#define V8_SCRIPT_LINES      23 /* lines in front of it in the file that it is from */
#define V8_SCRIPT_ID         63
#define V8_STRING_LENGTH     11
#define V8_STRING_FIRST      15 /* characters, or the string it stands for */
#define V8_STRING_SECOND     23 /* characters that are elsewhere, or the end of a concatenation */

/* Types of objects. Those of strings are less than V8_TYPE_NO_STRING, and made of what follows. */
#define V8_TYPE_NO_STRING  128
#define V8_TYPE_SCRIPT     167
#define V8_TYPE_SCOPE_INFO 261
#define V8_STRING_SHAPE    7
#define V8_STRING_CONS     1
#define V8_STRING_EXTERNAL 2
#define V8_STRING_THIN     5
#define V8_STRING_ONE_BYTE 8

/* A ScopeInfo and its flags. */
#define V8_SCOPE_FLAGS    7
#define V8_SCOPE_INLINED  75 /* so many names are in it, more in a table */
#define V8_SCOPE_TYPE     15
#define V8_SCOPE_MODULE   3
#define V8_SCOPE_SAVED    (1 << 10)
#define V8_SCOPE_FUNCTION (3 << 12) /* the function's name is there */
#define V8_SCOPE_INFERRED (1 << 14)

#endif
