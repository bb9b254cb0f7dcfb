/* SPDX-License-Identifier: MIT
 * The step database as SQL tables: SQLite's side of it, the same for all tables.
 *
 * Tables need no CREATE: they are there in every connection that ct_stepdb_sql makes. */
#include <string.h>

#include "stepdb_sql.h"

struct sql_module {
	const struct sql_table *table;
	struct sql_source src;
};
struct sql_vtab {
	sqlite3_vtab base;
	const struct sql_module *module;
};

static int fail(sqlite3_vtab *vtab, const struct ct_error *err)
{
	sqlite3_free(vtab->zErrMsg);
	vtab->zErrMsg = sqlite3_mprintf("%s", err->msg);
	return SQLITE_ERROR;
}

char *sql_room(struct sql_cursor *cur, size_t need)
{
	if (need > cur->cap) {
		char *text = realloc(cur->text, need + 256);

		if (!text)
			return NULL;
		cur->text = text;
		cur->cap = need + 256;
	}
	return cur->text;
}

/* ---- Terms ---- */

bool sql_narrow(const struct sql_filter *filter, int column, struct sql_span *span)
{
	*span = (struct sql_span){0, UINT64_MAX};
	for (int i = 0; i < filter->n; i++) {
		const struct sql_term *t = &filter->term[i];
		ct_s64 v;

		if (t->column != column || sqlite3_value_type(t->value) != SQLITE_INTEGER)
			continue;
		v = sqlite3_value_int64(t->value);
		switch (t->op) {
		case '>':
			if (v >= 0 && (ct_u64)v + 1 > span->min)
				span->min = (ct_u64)v + 1;
			continue;
		case 'g':
			if (v >= 0 && (ct_u64)v > span->min)
				span->min = (ct_u64)v;
			continue;
		case '<': v--; /* fall through */
		case 'l':
			if (v < 0)
				return false;
			if ((ct_u64)v < span->max)
				span->max = (ct_u64)v;
			continue;
		default:
			if (v < 0)
				return false;
			if ((ct_u64)v > span->min)
				span->min = (ct_u64)v;
			if ((ct_u64)v < span->max)
				span->max = (ct_u64)v;
		}
	}
	return span->min <= span->max;
}

const char *sql_text(const struct sql_filter *filter, int column)
{
	for (int i = 0; i < filter->n; i++)
		if (filter->term[i].column == column && filter->term[i].op == '=' &&
		    sqlite3_value_type(filter->term[i].value) == SQLITE_TEXT)
			return (const char *)sqlite3_value_text(filter->term[i].value);
	return NULL;
}

/* ---- The module's methods ---- */

static int x_connect(sqlite3 *sql, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **message)
{
	const struct sql_module *m = aux;
	struct sql_vtab *vtab;
	char *create;
	int rc;

	(void)argc, (void)argv;
	if (m->table->needs_db && !m->src.db) {
		*message = sqlite3_mprintf("%s: no step database; run `ctbpf index` first (table events is there)",
					   m->table->name);
		return SQLITE_ERROR;
	}
	create = sqlite3_mprintf("CREATE TABLE x(%s)", m->table->columns);
	rc = create ? sqlite3_declare_vtab(sql, create) : SQLITE_NOMEM;
	sqlite3_free(create);
	if (rc != SQLITE_OK)
		return rc;
	vtab = sqlite3_malloc(sizeof(*vtab));
	if (!vtab)
		return SQLITE_NOMEM;
	*vtab = (struct sql_vtab){.module = m};
	*out = &vtab->base;
	return SQLITE_OK;
}

static int x_disconnect(sqlite3_vtab *vtab)
{
	sqlite3_free(vtab);
	return SQLITE_OK;
}

static char op_of(unsigned char op)
{
	switch (op) {
	case SQLITE_INDEX_CONSTRAINT_EQ: return '=';
	case SQLITE_INDEX_CONSTRAINT_LT: return '<';
	case SQLITE_INDEX_CONSTRAINT_LE: return 'l';
	case SQLITE_INDEX_CONSTRAINT_GT: return '>';
	case SQLITE_INDEX_CONSTRAINT_GE: return 'g';
	default: return 0;
	}
}

/* The plan is a text: the columns that are used, then two characters a term, column and operator. Every term that
 * helps is taken. */
#define PLAN_USED 17
static int x_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	const struct sql_module *m = ((struct sql_vtab *)base)->module;
	const char *order = strchr(m->table->push, 'i');
	double rows = m->table->rows(&m->src) + 1;
	int ncols = (int)strlen(m->table->push), id = order ? (int)(order - m->table->push) : 0, n = 0;
	char *text = sqlite3_malloc(PLAN_USED + 2 * SQL_TERMS + 1), *plan = text + PLAN_USED;
	bool unordered = *m->table->push == '-';

	if (!text)
		return SQLITE_NOMEM;
	sqlite3_snprintf(PLAN_USED + 1, text, "%016llx:", (unsigned long long)info->colUsed);
	for (int i = 0; i < info->nConstraint && n < SQL_TERMS; i++) {
		const struct sqlite3_index_constraint *c = &info->aConstraint[i];
		int column = c->iColumn < 0 ? id : c->iColumn;
		char op = op_of(c->op), push = column < ncols ? m->table->push[column] : '.';

		if (!c->usable || !op || push == '.' || push == '-' || (op != '=' && (push == '=' || push == 't')))
			continue;
		if (push == 't' && strcmp(sqlite3_vtab_collation(info, i), "BINARY") != 0)
			continue;
		plan[2 * n] = (char)('A' + column);
		plan[2 * n + 1] = op;
		info->aConstraintUsage[i].argvIndex = ++n;
		if (column == id && op == '=')
			rows = 1;
		else if (rows > 1)
			rows *= op == '=' ? m->table->share : 0.3;
	}
	plan[2 * n] = 0;
	info->idxStr = text;
	info->needToFreeIdxStr = 1;
	/* Tables without an 'i' come by rising id only. */
	if (!unordered && info->nOrderBy == 1 && (info->aOrderBy[0].iColumn == id || info->aOrderBy[0].iColumn < 0) &&
	    (order || !info->aOrderBy[0].desc)) {
		info->orderByConsumed = 1;
		info->idxNum = info->aOrderBy[0].desc;
	}
	info->idxFlags = rows == 1 && n ? SQLITE_INDEX_SCAN_UNIQUE : 0;
	info->estimatedRows = (sqlite3_int64)(rows < 1 ? 1 : rows);
	/* A place to begin costs a chunk; rows behind it are cheap. */
	info->estimatedCost = 20 + (rows < 1 ? 1 : rows);
	return SQLITE_OK;
}

static int x_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
	struct sql_vtab *vtab = (struct sql_vtab *)base;
	struct sql_cursor *cur = calloc(1, sizeof(*cur));

	if (!cur)
		return SQLITE_NOMEM;
	cur->src = (struct sql_source *)&vtab->module->src;
	cur->table = vtab->module->table;
	*out = &cur->base;
	return SQLITE_OK;
}

static void reset(struct sql_cursor *cur)
{
	ct_scan_close(cur->scan);
	ct_cursor_destroy(cur->events);
	sql_parts_free(cur->parts);
	free(cur->hits);
	cur->scan = NULL;
	cur->parts = NULL;
	cur->events = NULL;
	cur->hits = NULL;
	cur->row_id = 0;
	cur->end = false;
}

static int x_close(sqlite3_vtab_cursor *base)
{
	struct sql_cursor *cur = (struct sql_cursor *)base;

	reset(cur);
	free(cur->text);
	free(cur);
	return SQLITE_OK;
}

static int x_filter(sqlite3_vtab_cursor *base, int num, const char *plan, int argc, sqlite3_value **argv)
{
	struct sql_cursor *cur = (struct sql_cursor *)base;
	struct sql_filter filter = {.backwards = num, .used = strtoull(plan, NULL, 16)};
	struct ct_error err = {0};

	plan += PLAN_USED;
	for (; filter.n < argc && filter.n < SQL_TERMS; filter.n++)
		filter.term[filter.n] =
			(struct sql_term){plan[2 * filter.n] - 'A', plan[2 * filter.n + 1], argv[filter.n]};
	reset(cur);
	if (cur->table->filter(cur, &filter, &err) < 0 || (!cur->end && cur->table->next(cur, &err) < 0))
		return fail(base->pVtab, &err);
	return SQLITE_OK;
}

static int x_next(sqlite3_vtab_cursor *base)
{
	struct sql_cursor *cur = (struct sql_cursor *)base;
	struct ct_error err = {0};

	return cur->table->next(cur, &err) < 0 ? fail(base->pVtab, &err) : SQLITE_OK;
}

static int x_eof(sqlite3_vtab_cursor *base)
{
	return ((struct sql_cursor *)base)->end;
}

static int x_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int column)
{
	struct sql_cursor *cur = (struct sql_cursor *)base;
	struct ct_error err = {0};

	if (cur->table->column(cur, ctx, column, &err) == 0)
		return SQLITE_OK;
	sqlite3_result_error(ctx, err.msg, -1);
	return SQLITE_ERROR;
}

static int x_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
	*rowid = (sqlite3_int64)((struct sql_cursor *)base)->id;
	return SQLITE_OK;
}

static const sqlite3_module methods = {.iVersion = 2,
				       .xConnect = x_connect,
				       .xBestIndex = x_best_index,
				       .xDisconnect = x_disconnect,
				       .xDestroy = x_disconnect,
				       .xOpen = x_open,
				       .xClose = x_close,
				       .xFilter = x_filter,
				       .xNext = x_next,
				       .xEof = x_eof,
				       .xColumn = x_column,
				       .xRowid = x_rowid};

/* ---- The connection ---- */

/* Questions change nothing, on no disk: no files are attached. */
static int authorize(void *arg, int action, const char *a, const char *b, const char *db, const char *inner)
{
	(void)arg, (void)a, (void)b, (void)db, (void)inner;
	return action == SQLITE_ATTACH ? SQLITE_DENY : SQLITE_OK;
}

static int add_table(sqlite3 *sql, const struct sql_table *table, struct ct_stepdb *db, struct ct_recording *rec)
{
	struct sql_module *m = malloc(sizeof(*m));

	if (!m)
		return SQLITE_NOMEM;
	*m = (struct sql_module){table, {db, rec}};
	return sqlite3_create_module_v2(sql, table->name, &methods, m, free);
}

struct sqlite3 *ct_stepdb_sql(struct ct_stepdb *db, struct ct_recording *rec, struct ct_error *err)
{
	static const struct sql_table *const rows[] = {&sql_steps,  &sql_calls,      &sql_values,
						       &sql_events, &sql_step_parts, &sql_call_parts};
	sqlite3 *sql = NULL;
	int rc = sqlite3_open_v2(":memory:", &sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]) && rc == SQLITE_OK; i++)
		rc = add_table(sql, rows[i], db, rec);
	for (unsigned i = 0; sql_names_tables[i] && rc == SQLITE_OK; i++)
		rc = add_table(sql, sql_names_tables[i], db, rec);
	if (rc == SQLITE_OK)
		rc = sqlite3_set_authorizer(sql, authorize, NULL);
	if (rc == SQLITE_OK)
		return sql;
	ct_fail(err, CT_EXIT_FAILED, "SQLite: %s", sqlite3_errstr(rc));
	sqlite3_close(sql);
	return NULL;
}
