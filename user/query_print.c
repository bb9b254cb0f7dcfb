/* SPDX-License-Identifier: MIT
 * Rows of `ctbpf query`: as a table for people, as JSON lines, as CSV.
 *
 * Tables are printed in pieces of some hundred rows, so that a long answer needs no memory. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "query.h"

#define PIECE 500  /* rows whose columns are aligned together */
#define WIDE  4096 /* bytes of a cell in a table */

void query_begin(struct query_rows *rows, struct ct_out *out, enum query_form form, const char *const *names,
		 unsigned ncols, uint32_t right)
{
	*rows = (struct query_rows){.out = out, .form = form, .ncols = ncols};
	memcpy(rows->name, names, ncols * sizeof(*names));
	ct_table_init(&rows->table, ncols, right);
	if (form != QUERY_CSV)
		return;
	for (unsigned c = 0; c < ncols; c++)
		query_text(rows, names[c], strlen(names[c]));
}

static void title(struct query_rows *rows)
{
	for (unsigned c = 0; c < rows->ncols; c++) {
		char name[64];
		size_t i;

		for (i = 0; rows->name[c][i] && i < sizeof(name) - 1; i++)
			name[i] = rows->name[c][i] == '_' ? ' ' : (char)toupper((unsigned char)rows->name[c][i]);
		if (rows->units && i > 3 && strcmp(rows->name[c] + i - 3, "_ns") == 0)
			i -= 3;
		name[i] = 0;
		ct_table_cell(&rows->table, name);
	}
	rows->titled = true;
}

static void print_piece(struct query_rows *rows)
{
	unsigned columns = rows->table.columns;
	uint32_t right = rows->table.right;

	ct_table_print(&rows->table, rows->out, "");
	ct_table_deinit(&rows->table);
	ct_table_init(&rows->table, columns, right);
	rows->waiting = 0;
}

/* After each cell. */
static void next_cell(struct query_rows *rows)
{
	if (++rows->col < rows->ncols)
		return;
	rows->col = 0;
	if (rows->form == QUERY_CSV) {
		ct_out_str(rows->out, "\r\n");
	} else if (rows->form == QUERY_JSON) {
		ct_json_close(rows->out, '}');
		ct_json_line(rows->out);
	} else if (++rows->waiting == PIECE) {
		print_piece(rows);
	}
}

/* Before each cell. */
static void begin_cell(struct query_rows *rows)
{
	if (rows->form == QUERY_JSON && !rows->col) {
		ct_json_open(rows->out, NULL, '{');
		if (rows->section)
			ct_json_str(rows->out, "section", rows->section);
	}
	if (rows->form == QUERY_CSV && rows->col)
		ct_out_char(rows->out, ',');
	if (rows->form == QUERY_TABLE && !rows->titled)
		title(rows);
}

void query_int(struct query_rows *rows, int64_t value)
{
	char text[32];

	begin_cell(rows);
	snprintf(text, sizeof(text), "%lld", (long long)value);
	if (rows->form == QUERY_TABLE)
		ct_table_cell(&rows->table, text);
	else if (rows->form == QUERY_CSV)
		ct_out_str(rows->out, text);
	else
		ct_json_s64(rows->out, rows->name[rows->col], value);
	next_cell(rows);
}

void query_id(struct query_rows *rows, ct_u64 id)
{
	if (id)
		query_int(rows, (int64_t)id);
	else
		query_null(rows);
}

void query_double(struct query_rows *rows, double value)
{
	char text[40];

	begin_cell(rows);
	snprintf(text, sizeof(text), "%.15g", value);
	if (rows->form == QUERY_TABLE)
		ct_table_cell(&rows->table, text);
	else if (rows->form == QUERY_CSV)
		ct_out_str(rows->out, text);
	else
		ct_json_double(rows->out, rows->name[rows->col], value, 9);
	next_cell(rows);
}

static void csv_text(struct ct_out *out, const char *text, size_t len)
{
	bool quote = false;

	for (size_t i = 0; i < len; i++)
		quote = quote || strchr(",\"\r\n", text[i]);
	if (!quote) {
		ct_out_mem(out, text, len);
		return;
	}
	ct_out_char(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			ct_out_char(out, '"');
		ct_out_char(out, text[i]);
	}
	ct_out_char(out, '"');
}

/* One line, and nothing that a terminal would obey. */
static void table_text(struct query_rows *rows, const char *text, size_t len)
{
	char cell[WIDE];
	size_t n = 0;

	for (size_t i = 0; i < len && n < sizeof(cell) - 8; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n')
			n += (size_t)sprintf(cell + n, "\\n");
		else if (c < 0x20 || c == 0x7f)
			n += (size_t)sprintf(cell + n, "\\x%02x", c);
		else
			cell[n++] = (char)c;
	}
	if (n >= sizeof(cell) - 8)
		n += (size_t)sprintf(cell + n, "...");
	cell[n] = 0;
	ct_table_cell(&rows->table, cell);
}

void query_text(struct query_rows *rows, const char *text, size_t len)
{
	begin_cell(rows);
	if (rows->form == QUERY_TABLE)
		table_text(rows, text, len);
	else if (rows->form == QUERY_CSV)
		csv_text(rows->out, text, len);
	else
		ct_json_strn(rows->out, rows->name[rows->col], text, len);
	next_cell(rows);
}

void query_blob(struct query_rows *rows, const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(2 * len + 1);

	for (size_t i = 0; hex && i < len; i++) {
		hex[2 * i] = digits[((const unsigned char *)data)[i] >> 4];
		hex[2 * i + 1] = digits[((const unsigned char *)data)[i] & 15];
	}
	query_text(rows, hex ? hex : "", hex ? 2 * len : 0);
	free(hex);
}

void query_null(struct query_rows *rows)
{
	begin_cell(rows);
	if (rows->form == QUERY_TABLE)
		ct_table_cell(&rows->table, "");
	else if (rows->form == QUERY_JSON)
		ct_json_null(rows->out, rows->name[rows->col]);
	next_cell(rows);
}

void query_end(struct query_rows *rows)
{
	if (rows->form == QUERY_TABLE && rows->waiting)
		print_piece(rows);
	ct_table_deinit(&rows->table);
}
