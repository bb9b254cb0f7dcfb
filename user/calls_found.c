/* SPDX-License-Identifier: MIT
 * Which interpreters a process runs whose calls can be recorded live, or why they cannot. */
#include <stdio.h>
#include <stdlib.h>

#include "user/calls.h"

/* Of what is looked for in one process. */
union target {
	struct ct_python_target python;
	struct ct_ruby_target ruby;
	struct ct_vm_target vm;
};

static void found(struct ct_call_language *list, size_t *n, const struct ct_call_language *l, int ret,
		  const struct ct_error *why)
{
	if (!ret)
		return;
	list[*n] = *l;
	if (ret < 0)
		snprintf(list[*n].why, sizeof(list[*n].why), "%.399s", why->msg);
	++*n;
}

size_t ct_call_languages(pid_t pid, struct ct_call_language list[CT_CALL_LANGUAGES])
{
	union target *t = malloc(sizeof(*t));
	struct ct_call_language l;
	struct ct_error why = {0};
	size_t n = 0;
	int ret;

	if (!t)
		return 0;
	ret = ct_python_target(pid, &t->python, &why);
	l = (struct ct_call_language){.option = "python", .name = "Python", .stepped = t->python.stepped};
	snprintf(l.version, sizeof(l.version), "%u.%u.%u", t->python.version >> 24, t->python.version >> 16 & 255,
		 t->python.version >> 8 & 255);
	snprintf(l.file, sizeof(l.file), "%s", t->python.name);
	found(list, &n, &l, ret, &why);
	ret = ct_ruby_target(pid, &t->ruby, &why);
	l = (struct ct_call_language){.option = "ruby", .name = "Ruby", .stepped = t->ruby.stepped};
	snprintf(l.version, sizeof(l.version), "%u.%u", t->ruby.major, t->ruby.minor);
	snprintf(l.file, sizeof(l.file), "%s", t->ruby.name);
	found(list, &n, &l, ret, &why);
	for (unsigned vm = 0; vm < CT_VMS; vm++) {
		ret = ct_vm_target(vm, pid, &t->vm, &why);
		l = (struct ct_call_language){.option = ct_vm_kinds[vm].option,
					      .name = ct_vm_kinds[vm].name,
					      .stepped = t->vm.stepped,
					      .part = t->vm.part};
		snprintf(l.version, sizeof(l.version), "%s", t->vm.version);
		snprintf(l.file, sizeof(l.file), "%s", t->vm.name);
		found(list, &n, &l, ret, &why);
	}
	free(t);
	return n;
}
