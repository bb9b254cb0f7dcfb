// SPDX-License-Identifier: MIT
/* Layouts of CPython's structures, by version: offsets in bytes, as the headers of each version have them.
 * Within a minor version they do not change: extensions built for 3.11.0 run on 3.11.9. */
#include <stddef.h>

#include "replay/agents/python.h"

static const struct ct_python_layout layouts[] = {
	{
		.first = 0x030b,
		.last = 0x030b,
		.off = {.f_code = 32,
			.f_previous = 48,
			.f_prev_instr = 56,
			.f_localsplus = 72,
			.f_locals = 24,
			.f_owner = 69,
			.pyframe_frame = 24,
			.co_linetable = 136,
			.co_qualname = 128,
			.co_filename = 112,
			.co_consts = 24,
			.co_names = 32,
			.co_firstlineno = 72,
			.co_nlocalsplus = 76,
			.co_kinds = 104,
			.co_code = 184,
			.co_flags = 48,
			.co_warmup = 52,
			.warmup_first = -8,
			.exc_type = 96,
			.exc_value = 104,
			.type_name = 24,
			.str_ascii = 48,
			.str_compact = 72,
			.tuple_items = 24,
			.bytes_data = 32,
			.dict_keys = 32,
			.dict_values = 40,
			.dict_used = 16,
			.managed = 1},
		.tstate_current = 576,
		.interp_head = 40,
		.interp_next = 0,
		.threads_head = 16,
		.tstate_next = 8,
		.tstate_cframe = 56,
		.cframe_frame = 8,
		.tstate_tid = 160,
		.co_localsplusnames = 96,
		.co_name = 120,
		.co_argcount = 56,
		.co_posonly = 60,
		.co_kwonly = 64,
		.type_flags = 168,
		.type_basicsize = 32,
		.type_itemsize = 40,
		.type_dictoffset = 288,
		.type_members = 240,
		.type_base = 256,
		.type_cached_keys = 872,
		.op = {[151] = CT_PYOP_RESUME,
		       [150] = CT_PYOP_RESUME,
		       [83] = CT_PYOP_RETURN,
		       [86] = CT_PYOP_YIELD,
		       [123] = CT_PYOP_SEND,
		       [7] = CT_PYOP_FUSED,          /* BINARY_OP_INPLACE_ADD_UNICODE and STORE_FAST */
		       [27] = CT_PYOP_FUSED,         /* COMPARE_OP_FLOAT_JUMP */
		       [28] = CT_PYOP_FUSED,         /* COMPARE_OP_INT_JUMP */
		       [29] = CT_PYOP_FUSED,         /* COMPARE_OP_STR_JUMP */
		       [44] = CT_PYOP_FUSED,         /* LOAD_CONST__LOAD_FAST */
		       [45] = CT_PYOP_FUSED,         /* LOAD_FAST__LOAD_CONST */
		       [46] = CT_PYOP_FUSED,         /* LOAD_FAST__LOAD_FAST */
		       [161] = CT_PYOP_FUSED_STORE,  /* STORE_FAST__LOAD_FAST */
		       [167] = CT_PYOP_FUSED_STORE}, /* STORE_FAST__STORE_FAST */
		.skip = {[7] = 2, [27] = 3, [28] = 3, [29] = 3, [44] = 1, [45] = 1, [46] = 1, [161] = 1, [167] = 1},
		.tracing = 255,
	},
};

const struct ct_python_layout *ct_python_layout(unsigned version)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
		if (version >> 16 >= layouts[i].first && version >> 16 <= layouts[i].last)
			return &layouts[i];
	return NULL;
}
