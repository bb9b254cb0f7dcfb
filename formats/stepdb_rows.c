/* SPDX-License-Identifier: MIT
 * Questions to the step database: one row, a place in time, the variables of a call at a step, the slowest calls.
 *
 * Each reads the few chunks that can hold the answer, however many there are. */
#include <string.h>

#include "stepdb_private.h"

/* ---- Rows ---- */

/* The chunk with this row, and where in it; NULL with *err. */
static struct sd_chunk *chunk_of_row(struct ct_stepdb *db, enum ct_rows table, ct_u64 id, unsigned *row,
				     struct ct_error *err)
{
	struct sd_rtable *t = &db->t[table];
	size_t group = sd_group_of_row(t, id);
	const struct sd_group *g;
	ct_u32 low = 0, high;
	struct sd_chunk *chunk;

	if (!id || group == t->ngroups) {
		ct_fail(err, CT_EXIT_FAILED, "%s: there is no row %llu in %s; the last is %llu", db->name,
			(unsigned long long)id, sd_tables[table].name, (unsigned long long)t->rows);
		return NULL;
	}
	if (sd_group_load(db, table, group, err) < 0)
		return NULL;
	g = &t->group[group];
	for (high = g->chunks; low + 1 < high;) {
		ct_u32 mid = low + (high - low) / 2;

		if (g->chunk[mid].first_row <= id)
			low = mid;
		else
			high = mid;
	}
	chunk = sd_chunk_get(db, table, g->first_chunk + low, err);
	if (chunk)
		*row = (unsigned)(id - chunk->first_row);
	return chunk;
}

static bool read_row(struct ct_stepdb *db, enum ct_rows table, ct_u64 id, unsigned ncols, ct_u64 *out,
		     struct ct_error *err)
{
	unsigned row;
	struct sd_chunk *chunk = chunk_of_row(db, table, id, &row, err);
	bool good = chunk != NULL;

	for (unsigned c = 0; c < ncols && good; c++) {
		const ct_u64 *col = sd_chunk_column(db, chunk, c, err);

		good = col != NULL;
		if (good)
			out[c] = col[row];
	}
	sd_chunk_put(chunk);
	return good;
}

bool ct_stepdb_step_row(struct ct_stepdb *db, ct_u64 id, ct_u64 row[CT_STEP_NCOLS], struct ct_error *err)
{
	return read_row(db, CT_STEPS, id, CT_STEP_NCOLS, row, err);
}

/* The end of a call that was open when its chunk was written: 1 found, 0 it is open still. */
static int find_exit(struct ct_stepdb *db, ct_u64 call, ct_u64 *row, struct ct_error *err)
{
	struct sd_rtable *t = &db->t[CT_EXITS];

	for (size_t k = 0; k < t->ngroups; k++) {
		if (sd_group_load(db, CT_EXITS, k, err) < 0)
			return -1;
		for (ct_u32 i = 0; i < t->group[k].chunks; i++) {
			const struct sd_group *g = &t->group[k];
			const ct_u64 *minmax = g->minmax + (size_t)i * sd_tables[CT_EXITS].ncols * 2, *calls;
			struct sd_chunk *chunk;
			unsigned low = 0, high;

			if (call < minmax[0] || call > minmax[1])
				continue;
			chunk = sd_chunk_get(db, CT_EXITS, g->first_chunk + i, err);
			calls = chunk ? sd_chunk_column(db, chunk, SD_EXIT_CALL, err) : NULL;
			for (high = calls ? chunk->rows : 0; low < high;) {
				unsigned mid = low + (high - low) / 2;

				if (calls[mid] < call)
					low = mid + 1;
				else
					high = mid;
			}
			if (calls && low < chunk->rows && calls[low] == call) {
				for (unsigned c = CT_CALL_STATE; c < CT_CALL_NCOLS; c++) {
					calls = sd_chunk_column(db, chunk, SD_EXIT_COL(c), err);
					if (!calls)
						break;
					row[c] = calls[low];
				}
				sd_chunk_put(chunk);
				return calls ? 1 : -1;
			}
			sd_chunk_put(chunk);
			if (!calls)
				return -1;
		}
	}
	return 0;
}

bool ct_stepdb_call_row(struct ct_stepdb *db, ct_u64 id, ct_u64 row[CT_CALL_NCOLS], struct ct_error *err)
{
	if (!read_row(db, CT_CALLS, id, CT_CALL_NCOLS, row, err))
		return false;
	if (row[CT_CALL_STATE] != CT_CALL_OPEN)
		return true;
	for (unsigned c = CT_CALL_STATE; c < CT_CALL_NCOLS; c++)
		row[c] = 0;
	return find_exit(db, id, row, err) >= 0;
}

int ct_stepdb_step_after(struct ct_stepdb *db, unsigned column, ct_u64 value, ct_u64 *id, struct ct_error *err)
{
	struct ct_scan_spec spec = {.table = CT_STEPS, .nranges = 1, .range = {{column, value + 1, UINT64_MAX}}};
	struct ct_scan *scan;
	int got = 0;

	*id = db->t[CT_STEPS].rows + 1;
	if (value == UINT64_MAX)
		return 0;
	scan = ct_scan_open(db, &spec, err);
	if (!scan)
		return -1;
	got = ct_scan_next(scan, id, err);
	ct_scan_close(scan);
	return got < 0 ? -1 : 0;
}

/* ---- Variables of a call ---- */

struct slot { /* one name */
	ct_u32 name, variable;
	bool found;
	ct_u64 step;
	ct_u8 *node;
	size_t len;
};
struct place {
	ct_u64 chunk;
	ct_u32 variable;
};
struct locals {
	ct_u32 function;
	unsigned kinds; /* bit per enum ct_value_kind */
	struct slot *slot;
	size_t nslots;
	struct place *place;
	size_t nplaces, cap;
	ct_u64 first_chunk; /* of the group being walked */
	ct_u64 end;         /* rows from this one on do not count */
	bool failed;
};

#define KIND(kind)  (1u << (kind))
#define LOCAL_KINDS (KIND(CT_VALUE_LOCAL) | KIND(CT_VALUE_ARGUMENT) | KIND(CT_VALUE_CLOSURE) | KIND(CT_VALUE_FIELD))

static bool is_wanted(const struct locals *l, ct_u64 kind)
{
	return kind < 32 && l->kinds >> kind & 1;
}

/* The function's names; a variable that is an argument first and then a local is one. */
static bool find_slots(struct ct_stepdb *db, struct locals *l)
{
	for (ct_u32 id = 1; id <= ct_stepdb_names(db, CT_VARIABLES); id++) {
		const ct_u64 *v = ct_stepdb_name(db, CT_VARIABLES, id)->v;
		struct slot *slot;
		size_t i = 0;

		if (v[CT_VAR_FUNCTION] != l->function || !is_wanted(l, v[CT_VAR_KIND]))
			continue;
		while (i < l->nslots && l->slot[i].name != v[CT_VAR_NAME])
			i++;
		if (i < l->nslots)
			continue;
		slot = realloc(l->slot, (l->nslots + 1) * sizeof(*slot));
		if (!slot)
			return false;
		l->slot = slot;
		slot[l->nslots++] = (struct slot){.name = (ct_u32)v[CT_VAR_NAME], .variable = id};
	}
	return true;
}

static struct slot *slot_of(struct ct_stepdb *db, struct locals *l, ct_u64 variable)
{
	const struct ct_name *v = ct_stepdb_name(db, CT_VARIABLES, variable);

	for (size_t i = 0; v && is_wanted(l, v->v[CT_VAR_KIND]) && i < l->nslots; i++)
		if (l->slot[i].name == v->v[CT_VAR_NAME])
			return &l->slot[i];
	return NULL;
}

static void add_place(void *arg, ct_u64 key, ct_u32 chunk, ct_u32 count)
{
	struct locals *l = arg;

	(void)count;
	if (l->nplaces == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 256;
		struct place *place = realloc(l->place, cap * sizeof(*place));

		if (!place) {
			l->failed = true;
			return;
		}
		l->place = place;
		l->cap = cap;
	}
	l->place[l->nplaces++] = (struct place){l->first_chunk + chunk, (ct_u32)(key & ((1u << SD_PAIR_SHIFT) - 1))};
}

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->chunk < y->chunk) - (x->chunk > y->chunk);
}

/* Takes from the chunk what is not known yet, latest first. */
static int look_into(struct ct_stepdb *db, struct locals *l, ct_u64 number, ct_u64 call, ct_u64 step,
		     struct ct_error *err)
{
	struct sd_chunk *chunk = sd_chunk_get(db, CT_VALUES, number, err);
	const ct_u64 *calls = NULL, *variables = NULL, *steps = NULL, *ends = NULL;
	int ret = 0;

	if (chunk && (calls = sd_chunk_column(db, chunk, CT_VALUE_CALL, err)) &&
	    (variables = sd_chunk_column(db, chunk, CT_VALUE_VARIABLE, err)))
		steps = sd_chunk_column(db, chunk, CT_VALUE_STEP, err);
	if (!steps) {
		sd_chunk_put(chunk);
		return -1;
	}
	for (unsigned i = chunk->rows; i && ret == 0; i--) {
		struct slot *slot;
		ct_u64 begin;

		if (calls[i - 1] != call || steps[i - 1] > step || chunk->first_row + i - 1 >= l->end)
			continue;
		slot = slot_of(db, l, variables[i - 1]);
		if (!slot || slot->found)
			continue;
		ends = sd_chunk_column(db, chunk, CT_VALUE_NODE, err);
		if (!ends) {
			ret = -1;
			break;
		}
		begin = i > 1 ? ends[i - 2] : 0;
		slot->len = (size_t)(ends[i - 1] - begin);
		slot->node = malloc(slot->len ? slot->len : 1);
		if (!slot->node)
			ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
		else if (!ct_node_check(chunk->bytes + begin, slot->len))
			ret = ct_fail(err, CT_EXIT_FAILED, "steps/values.ctcol: value %llu makes no sense",
				      (unsigned long long)(chunk->first_row + i - 1));
		else
			memcpy(slot->node, chunk->bytes + begin, slot->len);
		slot->variable = (ct_u32)variables[i - 1];
		slot->step = steps[i - 1];
		slot->found = true;
	}
	sd_chunk_put(chunk);
	return ret;
}

/* The chunk of values that was being filled when the call was entered: the last one whose mark is below it. */
static int entry_chunk(struct ct_stepdb *db, ct_u64 call, ct_u64 *number, struct ct_error *err)
{
	struct sd_rtable *t = &db->t[CT_VALUES];
	size_t low = 0, high = t->ngroups;

	*number = 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (sd_group_load(db, CT_VALUES, mid, err) < 0)
			return -1;
		if (t->group[mid].chunk[0].mark < call)
			low = mid + 1;
		else
			high = mid;
	}
	for (ct_u32 i = 0; low && i < t->group[low - 1].chunks; i++)
		if (t->group[low - 1].chunk[i].mark < call)
			*number = t->group[low - 1].first_chunk + i;
	return 0;
}

/* Where values of the call are, but for its first chunk. */
static int find_places(struct ct_stepdb *db, struct locals *l, ct_u64 call, ct_u64 step, ct_u64 entry,
		       struct ct_error *err)
{
	struct sd_rtable *t = &db->t[CT_VALUES];

	for (size_t k = sd_group_of_chunk(t, entry); k < t->ngroups; k++) {
		if (sd_group_load(db, CT_VALUES, k, err) < 0)
			return -1;
		if (t->group[k].first_row >= l->end)
			break;
		if (t->group[k].min[CT_VALUE_STEP] > step)
			continue;
		l->first_chunk = t->group[k].first_chunk;
		if (sd_postings(db, CT_VALUES, k, 1, SD_PAIR(call, 0), SD_PAIR(call + 1, 0) - 1, add_place, l, err) < 0)
			return -1;
		if (l->failed)
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	}
	if (l->nplaces)
		qsort(l->place, l->nplaces, sizeof(*l->place), compare_places);
	return 0;
}

static int resolve(struct ct_stepdb *db, struct locals *l, ct_u64 call, ct_u64 step, struct ct_error *err)
{
	struct sd_rtable *t = &db->t[CT_VALUES];
	ct_u64 entry, done = UINT64_MAX;

	if (!t->ngroups || !l->nslots)
		return 0;
	if (entry_chunk(db, call, &entry, err) < 0 || find_places(db, l, call, step, entry, err) < 0)
		return -1;
	for (size_t i = 0; i < l->nplaces; i++) {
		const struct slot *slot = slot_of(db, l, l->place[i].variable);
		size_t k = sd_group_of_chunk(t, l->place[i].chunk);
		size_t at = (size_t)(l->place[i].chunk - t->group[k].first_chunk) * sd_tables[CT_VALUES].ncols * 2;

		if (!slot || slot->found || l->place[i].chunk == done ||
		    t->group[k].chunk[l->place[i].chunk - t->group[k].first_chunk].first_row >= l->end ||
		    t->group[k].minmax[at + 2 * CT_VALUE_STEP] > step)
			continue;
		done = l->place[i].chunk;
		if (look_into(db, l, done, call, step, err) < 0)
			return -1;
	}
	return done == entry ? 0 : look_into(db, l, entry, call, step, err);
}

static int latest(struct ct_stepdb *db, ct_u64 call, ct_u64 step, ct_u64 end, unsigned kinds,
		  int (*each)(void *arg, const struct ct_local *), void *arg, struct ct_error *err)
{
	struct locals l = {.kinds = kinds, .end = end};
	ct_u64 row[CT_CALL_NCOLS];
	int ret = 0;

	if (!read_row(db, CT_CALLS, call, CT_CALL_FUNCTION + 1, row, err))
		return -1;
	l.function = (ct_u32)row[CT_CALL_FUNCTION];
	if (call >> (64 - SD_PAIR_SHIFT))
		ret = ct_fail(err, CT_EXIT_FAILED, "%s: call %llu has no values", db->name, (unsigned long long)call);
	else if (!find_slots(db, &l))
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else
		ret = resolve(db, &l, call, step, err);
	for (size_t i = 0; i < l.nslots && ret == 0; i++) {
		struct ct_local local = {l.slot[i].variable, l.slot[i].step, l.slot[i].node, l.slot[i].len};

		if (l.slot[i].found)
			ret = each(arg, &local);
	}
	for (size_t i = 0; i < l.nslots; i++)
		free(l.slot[i].node);
	free(l.slot);
	free(l.place);
	return ret;
}

int ct_stepdb_locals(struct ct_stepdb *db, ct_u64 call, ct_u64 step, int (*each)(void *arg, const struct ct_local *),
		     void *arg, struct ct_error *err)
{
	return latest(db, call, step, UINT64_MAX, LOCAL_KINDS, each, arg, err);
}

int ct_stepdb_latest(struct ct_stepdb *db, ct_u64 call, ct_u64 end, unsigned kinds,
		     int (*each)(void *arg, const struct ct_local *), void *arg, struct ct_error *err)
{
	return latest(db, call, UINT64_MAX, end, kinds ? kinds : LOCAL_KINDS, each, arg, err);
}

struct caller {
	ct_u64 call, from_step;
};

static int take_caller(void *arg, const struct ct_local *local)
{
	struct caller *c = arg;
	const ct_u8 *p = local->node;
	struct ct_node node;

	if (ct_node_next(&p, p + local->len, &node) && node.tag == CT_NODE_INT && node.integer >= 0)
		*c = (struct caller){(ct_u64)node.integer, node.integer ? local->step : 0};
	return 0;
}

static int caller_at(struct ct_stepdb *db, ct_u64 call, ct_u64 step, ct_u64 end, ct_u64 *caller, ct_u64 *from_step,
		     struct ct_error *err)
{
	ct_u64 row[CT_CALL_NCOLS];
	struct caller c;

	if (!read_row(db, CT_CALLS, call, CT_CALL_FROM_STEP + 1, row, err))
		return -1;
	c = (struct caller){row[CT_CALL_PARENT], row[CT_CALL_FROM_STEP]};
	/* A generator's frame is under whoever resumed it last. */
	if (latest(db, call, step, end, KIND(CT_VALUE_RESUME), take_caller, &c, err) < 0)
		return -1;
	*caller = c.call;
	*from_step = c.from_step;
	return 0;
}

int ct_stepdb_caller(struct ct_stepdb *db, ct_u64 call, ct_u64 step, ct_u64 *caller, ct_u64 *from_step,
		     struct ct_error *err)
{
	return caller_at(db, call, step, UINT64_MAX, caller, from_step, err);
}

int ct_stepdb_caller_before(struct ct_stepdb *db, ct_u64 call, ct_u64 end, ct_u64 *caller, ct_u64 *from_step,
			    struct ct_error *err)
{
	return caller_at(db, call, UINT64_MAX, end, caller, from_step, err);
}

/* ---- The slowest calls ---- */

struct slow {
	ct_u64 duration, id; /* of a call, or the greatest in a chunk */
	bool exits;
};

static int compare_slow(const void *a, const void *b)
{
	const struct slow *x = a, *y = b;

	return x->duration != y->duration ? (x->duration < y->duration) - (x->duration > y->duration)
					  : (x->id > y->id) - (x->id < y->id);
}

/* Keeps the best n in a heap whose first is the least of them. */
static void keep(struct slow *best, size_t n, size_t *have, ct_u64 duration, ct_u64 id)
{
	struct slow one = {duration, id, false};
	size_t i, child;

	if (*have < n) {
		for (i = (*have)++; i && best[(i - 1) / 2].duration > duration; i = (i - 1) / 2)
			best[i] = best[(i - 1) / 2];
		best[i] = one;
		return;
	}
	if (best[0].duration >= duration)
		return;
	for (i = 0; (child = 2 * i + 1) < n; i = child) {
		child += child + 1 < n && best[child + 1].duration < best[child].duration;
		if (best[child].duration >= duration)
			break;
		best[i] = best[child];
	}
	best[i] = one;
}

static int list_chunks(struct ct_stepdb *db, enum ct_rows table, unsigned column, struct slow *list, size_t *n,
		       struct ct_error *err)
{
	struct sd_rtable *t = &db->t[table];

	for (size_t k = 0; k < t->ngroups; k++) {
		if (sd_group_load(db, table, k, err) < 0)
			return -1;
		for (ct_u32 i = 0; i < t->group[k].chunks; i++)
			list[(*n)++] =
				(struct slow){t->group[k].minmax[((size_t)i * sd_tables[table].ncols + column) * 2 + 1],
					      t->group[k].first_chunk + i, table == CT_EXITS};
	}
	return 0;
}

static int best_of(struct ct_stepdb *db, const struct slow *c, struct slow *best, size_t n, size_t *have,
		   struct ct_error *err)
{
	struct sd_chunk *chunk = sd_chunk_get(db, c->exits ? CT_EXITS : CT_CALLS, c->id, err);
	unsigned column = c->exits ? SD_EXIT_COL(CT_CALL_DURATION) : CT_CALL_DURATION;
	unsigned state = c->exits ? SD_EXIT_COL(CT_CALL_STATE) : CT_CALL_STATE;
	const ct_u64 *duration = chunk ? sd_chunk_column(db, chunk, column, err) : NULL;
	const ct_u64 *states = duration ? sd_chunk_column(db, chunk, state, err) : NULL;
	const ct_u64 *calls = states && c->exits ? sd_chunk_column(db, chunk, SD_EXIT_CALL, err) : NULL;

	if (states && (calls || !c->exits))
		for (unsigned i = 0; i < chunk->rows; i++)
			if (states[i] != CT_CALL_OPEN)
				keep(best, n, have, duration[i], calls ? calls[i] : chunk->first_row + i);
	sd_chunk_put(chunk);
	return states && (calls || !c->exits) ? 0 : -1;
}

int ct_stepdb_slowest(struct ct_stepdb *db, size_t n, ct_u64 *out, struct ct_error *err)
{
	size_t total = (size_t)(db->t[CT_CALLS].chunks + db->t[CT_EXITS].chunks), have = 0, nlist = 0;
	struct slow *list, *best;
	int ret = -1;

	n = n < db->t[CT_CALLS].rows ? n : (size_t)db->t[CT_CALLS].rows;
	list = calloc(total + 1, sizeof(*list));
	best = calloc(n + 1, sizeof(*best));
	if (!list || !best)
		ct_fail(err, CT_EXIT_FAILED, "out of memory");
	else if (n == 0 || (list_chunks(db, CT_CALLS, CT_CALL_DURATION, list, &nlist, err) == 0 &&
			    list_chunks(db, CT_EXITS, SD_EXIT_COL(CT_CALL_DURATION), list, &nlist, err) == 0))
		ret = 0;
	if (ret == 0 && n)
		qsort(list, nlist, sizeof(*list), compare_slow);
	/* A chunk whose longest call is no longer than the least of n cannot change anything. */
	for (size_t i = 0; i < nlist && ret == 0 && (have < n || list[i].duration > best[0].duration); i++)
		ret = best_of(db, &list[i], best, n, &have, err);
	if (have)
		qsort(best, have, sizeof(*best), compare_slow);
	for (size_t i = 0; i < have && ret == 0; i++)
		out[i] = best[i].id;
	free(list);
	free(best);
	return ret < 0 ? -1 : (int)have;
}

/* ---- Finding names ---- */

/* `text` is `wanted`, or ends with it after a separator. */
static bool ends_with(const struct ct_name *text, const char *wanted, size_t len, char separator)
{
	return text->len >= len && !memcmp(text->text + text->len - len, wanted, len) &&
	       (text->len == len || text->text[text->len - len - 1] == separator);
}

static int find_names(struct ct_stepdb *db, enum ct_names table, const char *wanted, char separator, ct_u32 **ids,
		      struct ct_error *err)
{
	size_t len = strlen(wanted);
	int n = 0;

	*ids = malloc((ct_stepdb_names(db, table) + 1) * sizeof(**ids));
	if (!*ids)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	for (ct_u32 id = 1; id <= ct_stepdb_names(db, table); id++)
		if (ends_with(ct_stepdb_name(db, table, id), wanted, len, separator))
			(*ids)[n++] = id;
	return n;
}

int ct_stepdb_find_files(struct ct_stepdb *db, const char *path, ct_u32 **ids, struct ct_error *err)
{
	while (path[0] == '.' && path[1] == '/')
		path += 2;
	return find_names(db, CT_FILES, path, '/', ids, err);
}

int ct_stepdb_find_functions(struct ct_stepdb *db, const char *name, ct_u32 **ids, struct ct_error *err)
{
	return find_names(db, CT_FUNCTIONS, name, '.', ids, err);
}
