/* SPDX-License-Identifier: MIT
 * Finding such an interpreter in a process, and what searches for places in its code share. */
#include "user/calls_vm_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/sites.h"

#define ENTRY_MAX 256 /* bytes looked at for an entry */

const struct ct_vm_kind ct_vm_kinds[CT_VMS] = {
	[CT_VM_PHP] = {"php", "PHP", "8.2", "/libphp"},
	[CT_VM_PERL] = {"perl", "Perl", "5.36", "/libperl"},
	[CT_VM_LUA] = {"lua", "Lua", "5.4.4", "/liblua"},
	[CT_VM_NODE] = {"node", "Node.js", "20", "/libnode"},
};

static ct_vm_describe *const describe[CT_VMS] = {
	[CT_VM_PHP] = ct_php_describe, [CT_VM_PERL] = ct_perl_describe, [CT_VM_LUA] = ct_lua_describe, [CT_VM_NODE] = ct_node_describe};

struct search {
	enum ct_vm vm;
	struct ct_vm_target *t;
};

static int on_file(void *ctx, const struct ct_exec_file *file, struct ct_error *err)
{
	const char *base = strrchr(file->name, '/');
	struct search *s = ctx;
	const char *library = ct_vm_kinds[s->vm].library;
	struct ct_image im;
	ct_u64 bias;
	int fd, ret;

	if (!file->program && (!base || strncmp(base, library, strlen(library))))
		return 0;
	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) /* unmapped a moment ago */
		return 0;
	ret = ct_exec_bias(fd, file, &bias, err);
	if (!ret && !(ret = ct_image_open(&im, fd, file->name, err))) {
		snprintf(s->t->path, sizeof(s->t->path), "%s", file->path);
		snprintf(s->t->name, sizeof(s->t->name), "%s", file->name);
		s->t->nsites = 0;
		ret = describe[s->vm](s->t, file, &im, bias, err);
		ct_image_close(&im);
	}
	close(fd);
	return ret;
}

int ct_vm_target(enum ct_vm vm, pid_t pid, struct ct_vm_target *t, struct ct_error *err)
{
	struct search s = {vm, t};

	memset(t, 0, sizeof(*t));
	t->pid = pid;
	t->probe.tgid = (ct_u32)pid;
	return ct_each_exec_file(pid, on_file, &s, err);
}

bool ct_vm_site(struct ct_vm_target *t, ct_u64 offset, enum ct_vm_site what, unsigned reg, unsigned reg2)
{
	for (unsigned i = 0; i < t->nsites; i++)
		if (t->site[i].offset == offset)
			return true;
	if (t->nsites == CT_VM_SITES)
		return false;
	t->site[t->nsites].offset = offset;
	t->site[t->nsites].what = what;
	t->site[t->nsites].reg = reg;
	t->site[t->nsites++].reg2 = reg2;
	return true;
}

bool ct_vm_entry(struct ct_vm_target *t, const struct ct_image *im, ct_u64 addr, enum ct_vm_site what, unsigned reg)
{
	ct_u8 code[ENTRY_MAX];
	struct ct_site site;
	ct_u64 offset;
	const size_t len = ct_image_code(im, addr, code, sizeof(code), &offset);

	if (!len)
		return false;
	ct_site_entry(code, len, &site);
	if (site.cost == CT_SITE_NONE || !site.nargs)
		return false;
	t->stepped |= site.cost == CT_SITE_STEPPED;
	return ct_vm_site(t, offset + site.at, what, reg, 0);
}

bool ct_vm_mentions(const struct ct_call_code *c, ct_u32 number, size_t *from, struct ct_decoded *n)
{
	const ct_u8 *found;

	while (*from < c->len && (found = memmem(c->bytes + *from, c->len - *from, &number, 4))) {
		const size_t at = (size_t)(found - c->bytes);

		*from = at + 1;
		/* Prefix, opcode, ModRM, SIB. */
		for (size_t before = 4; before >= 1; before--) {
			ct_u64 addr = c->addr + at - before, next = addr;

			if (at >= before && ct_call_code_next(c, &next, n) && n->addr == addr &&
			    next == addr + before + 4)
				return true;
		}
	}
	return false;
}
