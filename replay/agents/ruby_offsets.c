// SPDX-License-Identifier: MIT
/* Where things lie in each version of Ruby, for 64-bit builds.
 *
 * Obtained by offsetof() in a program compiled against each version's own headers (vm_core.h, method.h,
 * internal/class.h, internal/hash.h) and the ruby/config.h of Debian's -dev packages of 3.1.2 and 3.3.8; where bits of
 * flags are, and what lies at the beginning of objects, is read in ruby/internal/core and internal/ of the same
 * sources. What a build may change (addresses, registers, how many instructions there are) is found in its code
 * instead, see ruby_find.c. */
#include <stddef.h>

#include "replay/agents/ruby.h"

static const struct ct_ruby_layout layouts[] = {
	{
		.major = 3,
		.minor = 1,
		.off =
			{
				.cfp_size = 64,         /* rb_control_frame_t: pc sp iseq self ep block bp jit_return */
				.th_ec = 40,            /* rb_thread_t.ec */
				.ec_errinfo = 112,      /* rb_execution_context_t.errinfo */
				.insns_body = 120,      /* rb_iseq_constant_body.insns_info.body */
				.locals = 152,          /* .local_table */
				.local_count = 240,     /* .local_table_size */
				.location = 64,         /* .location */
				.location_size = 56,    /* ... up to the end of code_location, rounded up */
				.nil = 0x08,            /* RUBY_Qnil */
				.undef = 0x34,          /* RUBY_Qundef */
				.str_embed = 16,        /* RString.as.embed.ary */
				.str_embed_len = 1,     /* RSTRING_EMBED_LEN_MASK */
				.array_embed_mask = 3,  /* RARRAY_EMBED_LEN_MASK: FL_USER3, 4 */
				.struct_embed_mask = 3, /* RSTRUCT_EMBED_LEN_MASK: FL_USER1, 2 */
				.hash_table = 0,        /* RHash.as */
				.hash_pairs = 0,        /* ar_table.pairs */
				.object_ivars = 1,      /* RObject: ROBJECT_EMBED, numiv 16, ivptr 24 */
			},
		.first_line = 88, /* location.first_lineno, a VALUE */
		.first_line_tagged = 1,
		.insns = 120,          /* insns_info: body, positions, size, succ_index_table */
		.local_size = 20,      /* param.size */
		.parent = 168,         /* parent_iseq */
		.jit = 280,            /* jit_func */
		.last_operator = 0xa9, /* tLAST_OP_ID of id.h */
		.class_ext = 0,        /* RClass.ptr at 24 */
		.class_ivars = 8,      /* rb_classext_t.iv_tbl, with __classpath__, __attached__, __members__ */
	},
	{
		.major = 3,
		.minor = 3,
		.off =
			{
				.cfp_size = 56, /* no bp */
				.th_ec = 48,    /* behind nt */
				.ec_errinfo = 120,
				.insns_body = 112, /* location.first_lineno is an int */
				.locals = 144,
				.local_count = 232,
				.location = 64,
				.location_size = 48,
				.nil = 0x04,
				.undef = 0x24,
				.str_embed = 24, /* behind the length, which is at 16 always */
				.str_embed_len = 0,
				.array_embed_mask = 0x7f,  /* FL_USER3 to 9 */
				.struct_embed_mask = 0x7f, /* FL_USER1 to 7 */
				.hash_table = 24,          /* behind RHash */
				.hash_pairs = 8,           /* behind ar_hint */
				.object_ivars = 2,         /* RObject: ROBJECT_EMBED, ivptr 16 */
			},
		.first_line = 88,
		.first_line_tagged = 0,
		.insns = 112,
		.local_size = 20,
		.parent = 160,
		.jit = 288, /* jit_entry */
		.last_operator = 0xa9,
		.class_ext = 32, /* RClass_and_rb_classext_t */
		.class_ivars = 0,
		.class_path = 120,    /* rb_classext_t.classpath */
		.class_attached = 96, /* .as.singleton_class.attached_object */
		.class_ivar_list = 0, /* .iv_ptr: __members__ is the first one, an array of symbols */
	},
};

const struct ct_ruby_layout *ct_ruby_layout(unsigned major, unsigned minor)
{
	for (size_t i = 0; i < sizeof(layouts) / sizeof(*layouts); i++)
		if (layouts[i].major == major && layouts[i].minor == minor)
			return &layouts[i];
	return NULL;
}
