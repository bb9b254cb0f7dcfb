/* SPDX-License-Identifier: MIT
 * CPython live: every call is one of the evaluation function.
 *
 * Versions from 3.11 on run a Python function that another one calls in the same loop, where no probe sees it, unless
 * the interpreter has an evaluation function of its own (PEP 523). So the pointer to that one is set to the default
 * one: what runs stays the same. Where the pointer is, the code of the function that returns it tells. */
#include <Zydis/Zydis.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "replay/agents/python.h"
#include "user/attach/insn_image.h"
#include "user/call_files.h"
#include "user/calls.h"
#include "user/sites.h"

#define GETTER_MAX 64 /* bytes of _PyInterpreterState_GetEvalFrameFunc looked at */

struct search {
	pid_t pid;
	struct ct_python_target *t;
};

/* The member that the first load through rdi reads; 0: not found. */
static unsigned first_member(const ct_u8 *code, size_t len)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisDecoder dec;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t at = 0; at < len && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec, code + at, len - at, &in, op));
	     at += in.length) {
		if (in.meta.category == ZYDIS_CATEGORY_RET)
			break;
		for (unsigned i = 0; i < in.operand_count_visible; i++)
			if (op[i].type == ZYDIS_OPERAND_TYPE_MEMORY && op[i].mem.base == ZYDIS_REGISTER_RDI &&
			    op[i].mem.index == ZYDIS_REGISTER_NONE && op[i].size == 64 && op[i].mem.disp.value > 0 &&
			    op[i].mem.disp.value < 1 << 20)
				return (unsigned)op[i].mem.disp.value;
	}
	return 0;
}

static int find_pointer(struct ct_python_target *t, const struct ct_exec_file *file, const struct ct_image *im,
			struct ct_error *err)
{
	static const char *const getter = "_PyInterpreterState_GetEvalFrameFunc";
	ct_u8 code[GETTER_MAX];
	ct_u64 addr = 0, offset;

	if (ct_elf_symbols_find(im->fd, file->name, &getter, &addr, 1, err))
		return -1;
	t->eval_frame = addr ? first_member(code, ct_image_code(im, addr, code, GETTER_MAX, &offset)) : 0;
	if (t->eval_frame)
		return 0;
	return ct_fail(err, CT_EXIT_FAILED,
		       "%s: where an interpreter keeps its evaluation function is not recognised (%s)", file->name,
		       getter);
}

static int describe(struct search *s, const struct ct_exec_file *file, const struct ct_python *py,
		    const struct ct_image *im, ct_u64 bias, struct ct_error *err)
{
	const struct ct_python_layout *l = ct_python_layout(py->version);
	/* 3.8 has no thread state before the frame. */
	const enum ct_python_old old = py->version >= 0x030b0000   ? CT_PYTHON_NEW
				       : py->version >= 0x03090000 ? CT_PYTHON_SECOND
								   : CT_PYTHON_FIRST;
	const ct_u32 qualname = old ? 8 : 16; /* behind co_filename: up to 3.10 co_name is what there is */
	struct ct_python_target *t = s->t;
	ct_u8 code[1024];
	struct ct_site site;
	size_t len;

	if (!l || l->off.co_qualname != l->off.co_filename + qualname ||
	    l->off.co_linetable != l->off.co_filename + qualname + 8)
		return ct_fail(err, CT_EXIT_FAILED, "%s: the layout of CPython %u.%u is not known", file->name,
			       py->version >> 24, py->version >> 16 & 255);
	if (!old && find_pointer(t, file, im, err))
		return -1;
	len = ct_image_code(im, py->eval, code, py->eval_size < sizeof(code) ? py->eval_size : sizeof(code),
			    &t->offset);
	ct_site_entry(code, len, &site);
	if (!len || site.cost == CT_SITE_NONE || site.nargs < 2)
		return ct_fail(err, CT_EXIT_FAILED, "%s: its evaluation function cannot be probed", file->name);
	t->offset += site.at;
	t->stepped = site.cost == CT_SITE_STEPPED;
	snprintf(t->path, sizeof(t->path), "%s", file->path);
	snprintf(t->name, sizeof(t->name), "%s", file->name);
	t->version = py->version;
	t->eval = py->eval + bias;
	t->head = py->runtime + bias + l->interp_head;
	t->next = l->interp_next;
	t->probe = (struct ct_python_probe){.tgid = s->pid,
					    .f_code = l->off.f_code,
					    .mask = l->off.ref_mask,
					    .old = old,
					    .firstlineno = l->off.co_firstlineno,
					    .names = l->off.co_filename,
					    .flags = l->off.co_flags,
					    .f_owner = l->off.f_owner,
					    .str_ascii = l->off.str_ascii,
					    .str_compact = l->off.str_compact};
	return 1;
}

static int on_file(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	struct search *s = ctx;
	struct ct_python py;
	struct ct_image im;
	ct_u64 bias;
	const char *base = strrchr(file->name, '/'); /* names of mapped files are absolute */
	int fd, ret;

	/* The interpreter is the program itself or a library; or a program that a dynamic linker was told to run. */
	if (!file->program && strncmp(base, "/libpython", 10) && strncmp(base, "/python", 7))
		return 0;
	ret = ct_python_find(file->path, &py, err);
	if (ret <= 0) {
		if (ret < 0) {
			struct ct_error why = *err;

			ct_fail(err, CT_EXIT_FAILED, "%s: %.300s", file->name, why.msg);
		}
		return ret;
	}
	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ct_fail_errno(err, CT_EXIT_FAILED, "%s: cannot open", file->name);
	ret = ct_exec_bias(fd, file, &bias, err);
	if (!ret && !(ret = ct_image_open(&im, fd, file->name, err))) {
		ret = describe(s, file, &py, &im, bias, err);
		ct_image_close(&im);
	}
	close(fd);
	return ret;
}

static int on_greenlet(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	(void)ctx;
	if (!strstr(file->name, "greenlet"))
		return 0;
	return ct_fail(err, CT_EXIT_FAILED,
		       "%s: greenlets move parts of the stack away, and with them return addresses that the kernel has "
		       "replaced: this program's calls cannot be recorded live",
		       file->name);
}

int ct_python_target(pid_t pid, struct ct_python_target *t, struct ct_error *err)
{
	struct search s = {pid, t};
	int ret;

	memset(t, 0, sizeof(*t));
	ret = ct_each_exec_file(pid, on_file, &s, err);
	return ret > 0 && ct_each_exec_file(pid, on_greenlet, NULL, err) ? -1 : ret;
}
