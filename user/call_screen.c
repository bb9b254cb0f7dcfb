// SPDX-License-Identifier: MIT
/* Live calls: what a filter says and the kernel cannot decide. Functions are looked at when their record comes, records
 * of those that are left out are not stored, values are redacted. On the pipeline's thread. */
#include <stdlib.h>
#include <string.h>

#include "formats/event_access.h"
#include "user/attach/insn_image.h"
#include "user/call_filter.h"

#define REDACTED "<redacted>"
#define FITS     64 /* rules that fit one function and are kept; of more the last would not count, so it is left out */

struct screened {
	bool known, skip;
	unsigned short n, *rule;
};
struct ct_screen {
	const struct ct_call_filter *f;
	struct screened *of; /* by number */
	size_t room;
	_Atomic ct_u64 dropped;
};

struct ct_screen *ct_screen_create(const struct ct_call_filter *f)
{
	struct ct_screen *s = calloc(1, sizeof(*s));

	if (s)
		s->f = f;
	return s;
}

void ct_screen_destroy(struct ct_screen *s)
{
	for (size_t i = 0; s && i < s->room; i++)
		free(s->of[i].rule);
	if (s)
		free(s->of);
	free(s);
}

ct_u64 ct_screen_dropped(const struct ct_screen *s)
{
	return s ? s->dropped : 0;
}

/* Whether it is left out; so it is if there is no memory to tell. */
static bool look_at(struct ct_screen *s, const struct ct_event *ev)
{
	const struct ct_ev_function *f = ct_event_payload(ev);
	unsigned short fits[FITS];
	const char *file, *name = ct_event_function(ev, &file);
	char text[(size_t)f->name_len + f->file_len + 2];
	struct screened *of;
	size_t n;

	if (f->id >= s->room) {
		size_t room = 2 * (size_t)f->id + 64;
		struct screened *more = reallocarray(s->of, room, sizeof(*more));

		if (!more)
			return true;
		memset(more + s->room, 0, (room - s->room) * sizeof(*more));
		s->of = more;
		s->room = room;
	}
	of = &s->of[f->id];
	memcpy(text, name, f->name_len);
	text[f->name_len] = 0;
	memcpy(text + f->name_len + 1, file, f->file_len);
	text[f->name_len + 1 + f->file_len] = 0;
	n = ct_call_filter_fits(s->f, text, text + f->name_len + 1, NULL, fits, FITS, &of->skip);
	free(of->rule);
	of->n = (unsigned short)n;
	of->known = true;
	of->rule = malloc((n + 1) * sizeof(*of->rule));
	of->skip |= !of->rule || n == FITS;
	if (of->rule)
		memcpy(of->rule, fits, n * sizeof(*fits));
	return of->skip;
}

static const struct ct_event *screen_value(const struct ct_screen *s, const struct screened *of, void *buf,
					   const struct ct_event *ev)
{
	const struct ct_ev_value *v = ct_event_payload(ev);
	struct ct_event *out = buf;
	struct ct_ev_value *w = (struct ct_ev_value *)(out + 1);
	const size_t names = (size_t)v->name_len + v->type_len;
	char name[CT_TOLD_NAME_MAX + 1];
	enum ct_value_action action;

	if (v->name_len >= sizeof(name) || names > 2 * CT_TOLD_NAME_MAX)
		return NULL;
	memcpy(name, v + 1, v->name_len);
	name[v->name_len] = 0;
	action = ct_call_filter_value(s->f, of->rule, of->n, (enum ct_told_role)v->role, name);
	if (action != CT_VALUE_REDACT)
		return action == CT_VALUE_DROP ? NULL : ev;
	*out = *ev;
	*w = *v;
	memcpy(w + 1, v + 1, names);
	memcpy((char *)(w + 1) + names, REDACTED, sizeof(REDACTED) - 1);
	w->kind = CT_KIND_STRING;
	w->number = 0;
	w->length = w->data_len = sizeof(REDACTED) - 1;
	out->size = (ct_u32)(sizeof(*out) + sizeof(*w) + names + w->data_len);
	return out;
}

const struct ct_event *ct_screen_event(struct ct_screen *s, void *buf, const struct ct_event *ev)
{
	const struct screened *of;
	ct_u32 id;

	switch (ev->type) {
	case CT_EV_FUNCTION: return look_at(s, ev) ? NULL : ev;
	case CT_EV_CALL:
	case CT_EV_RETURN:
	case CT_EV_LINES:
	case CT_EV_VALUE: break; /* all begin with the number */
	default: return ev;
	}
	memcpy(&id, ct_event_payload(ev), sizeof(id));
	of = id < s->room ? &s->of[id] : NULL;
	if (!of || !of->known) /* native functions have been looked at already */
		return ev;
	if (of->skip) {
		s->dropped += ev->type == CT_EV_CALL;
		return NULL;
	}
	return ev->type == CT_EV_VALUE ? screen_value(s, of, buf, ev) : ev;
}
