/* SPDX-License-Identifier: MIT
 * Groups of chunks: the directory with each column's least and greatest value, and posting pages (key -> chunks).
 *
 * A group is written behind its chunks: pages, then the directory; the catalogue knows where that is. */
#include <string.h>

#include "stepdb_private.h"

#define SLOTS (2 * SD_CHUNK_ROWS)

/* ---- The encoder's memory, and a table's ---- */

bool sd_encoder_init(struct sd_encoder *e)
{
	*e = (struct sd_encoder){.zstd = ZSTD_createCCtx()};
	e->slots = calloc(SLOTS, sizeof(*e->slots));
	e->used = calloc(SD_CHUNK_ROWS, sizeof(*e->used));
	if (!e->zstd || !e->slots || !e->used)
		return false;
	/* Level 1 keeps up with the replay; the sizes are in the column's head already. */
	return !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, 1)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_contentSizeFlag, 0));
}

void sd_encoder_deinit(struct sd_encoder *e)
{
	ZSTD_freeCCtx(e->zstd);
	free(e->head.data);
	free(e->body.data);
	free(e->scratch.data);
	free(e->sorted);
	free(e->slots);
	free(e->used);
}

bool sd_wtable_init(struct sd_wtable *w, enum ct_rows id)
{
	w->t = &sd_tables[id];
	w->id = id;
	for (unsigned c = 0; c < w->t->ncols; c++) {
		w->col[c] = malloc(SD_CHUNK_ROWS * sizeof(*w->col[c]));
		if (!w->col[c])
			return false;
	}
	return true;
}

void sd_wtable_deinit(struct sd_wtable *w)
{
	for (unsigned c = 0; c < SD_MAX_COLUMNS; c++)
		free(w->col[c]);
	free(w->bytes.data);
	free(w->group.directory.data);
	for (unsigned k = 0; k < SD_POSTINGS; k++)
		free(w->group.post[k].e);
}

/* ---- Postings of one chunk ---- */

static ct_u64 key_of(const struct sd_wtable *w, unsigned kind, unsigned row)
{
	static const ct_u8 column[CT_NROWS] = {CT_STEP_LOCATION, CT_CALL_FUNCTION, CT_VALUE_VARIABLE, 0};

	if (kind)
		return SD_PAIR(w->col[CT_VALUE_CALL][row], w->col[CT_VALUE_VARIABLE][row]);
	return w->col[column[w->id]][row];
}

static bool add_entry(struct sd_wgroup *g, unsigned kind, struct sd_entry entry)
{
	if (g->post[kind].n == g->post[kind].cap) {
		size_t cap = g->post[kind].cap ? 2 * g->post[kind].cap : 1024;
		struct sd_entry *e = realloc(g->post[kind].e, cap * sizeof(*e));

		if (!e)
			return false;
		g->post[kind].e = e;
		g->post[kind].cap = cap;
	}
	g->post[kind].e[g->post[kind].n++] = entry;
	return true;
}

/* Counts the chunk's different keys. Calls entered while the chunk was being filled need no pair: a reader looks into
 * their first chunk anyway. */
static bool post_chunk(struct sd_wtable *w, struct sd_encoder *enc, unsigned kind)
{
	unsigned nused = 0;
	bool good = true;

	for (unsigned i = 0; i < w->rows; i++) {
		ct_u64 key = key_of(w, kind, i);
		unsigned s = (unsigned)((key * 0x9e3779b97f4a7c15ull) >> 51);

		if (kind && w->col[CT_VALUE_CALL][i] > w->mark)
			continue;
		while (enc->slots[s].count && enc->slots[s].key != key)
			s = (s + 1) % SLOTS;
		if (!enc->slots[s].count++) {
			enc->slots[s].key = key;
			enc->used[nused++] = s;
		}
	}
	for (unsigned i = 0; i < nused; i++) {
		struct sd_entry *slot = &enc->slots[enc->used[i]];

		good = good && add_entry(&w->group, kind, (struct sd_entry){slot->key, w->group.chunks, slot->count});
		slot->count = 0;
	}
	return good;
}

static bool directory_entry(struct sd_wtable *w, size_t size)
{
	struct sd_buf *d = &w->group.directory;
	bool good = sd_put_uint(d, size / 8) && sd_put_uint(d, w->rows) && sd_put_uint(d, w->mark);

	for (unsigned c = 0; c < w->t->ncols && good; c++) {
		ct_u64 min = w->col[c][0], max = min;

		if (w->t->col[c].mode == SD_BYTES)
			continue;
		for (unsigned i = 1; i < w->rows; i++) {
			ct_u64 v = w->col[c][i];

			min = v < min ? v : min;
			max = v > max ? v : max;
		}
		good = sd_put_uint(d, min) && sd_put_uint(d, max - min);
	}
	return good;
}

int sd_chunk_flush(struct sd_wtable *w, struct sd_encoder *enc, ct_u64 mark, struct ct_error *err)
{
	struct sd_block h = {.kind = SD_CHUNK, .table = (ct_u8)w->id, .first = w->done + 1, .rows = w->rows};
	bool good = true;

	if (!w->rows) {
		w->mark = mark;
		return 0;
	}
	if (!w->group.chunks) {
		w->group.first_chunk = w->chunks;
		w->group.first_row = w->done + 1;
		w->group.offset = w->file.size;
		w->group.directory.len = 0;
	}
	enc->head.len = enc->body.len = 0;
	for (unsigned c = 0; c < w->t->ncols && good; c++)
		good = sd_column_encode(enc->zstd, w->t, c, w->col, w->rows, h.first, &w->bytes, &enc->head, &enc->body,
					&enc->scratch);
	for (unsigned k = 0; k < w->t->nposts && good; k++)
		good = post_chunk(w, enc, k);
	good = good && sd_put(&enc->head, enc->body.data, enc->body.len) &&
	       directory_entry(w, sd_block_size(enc->head.len));
	if (!good)
		return ct_fail(err, CT_EXIT_FAILED, "out of memory");
	h.stored = h.raw = (ct_u32)enc->head.len;
	w->group.chunks++;
	w->chunks++;
	w->done += w->rows;
	w->rows = 0;
	w->bytes.len = 0;
	w->mark = mark;
	return sd_file_block(&w->file, &h, enc->head.data, err);
}

/* ---- A whole group ---- */

/* Compresses the bytes in `raw` and writes them as a block; *size gets the block's size. */
static int write_index(struct sd_wtable *w, struct sd_encoder *enc, enum sd_block_kind kind, ct_u32 rows,
		       const struct sd_buf *raw, size_t *size, struct ct_error *err)
{
	struct sd_block h = {.kind = (ct_u8)kind, .table = (ct_u8)w->id, .first = w->group.first_chunk, .rows = rows};
	size_t n;

	enc->body.len = 0;
	if (raw->len > SD_RAW_MAX || !sd_reserve(&enc->body, ZSTD_compressBound(raw->len)))
		return ct_fail(err, CT_EXIT_FAILED, "no memory for an index of %zu bytes", raw->len);
	n = ZSTD_compress2(enc->zstd, enc->body.data, enc->body.cap, raw->data, raw->len);
	if (ZSTD_isError(n))
		return ct_fail(err, CT_EXIT_FAILED, "zstd: %s", ZSTD_getErrorName(n));
	h.stored = (ct_u32)n;
	h.raw = (ct_u32)raw->len;
	*size = sd_block_size(n);
	return sd_file_block(&w->file, &h, enc->body.data, err);
}

/* Entries e[0..n) have one key. */
static bool put_key(struct sd_buf *page, ct_u64 key_delta, const struct sd_entry *e, size_t n)
{
	ct_u32 before = 0;
	bool good = sd_put_uint(page, key_delta) && sd_put_uint(page, n);

	for (size_t i = 0; i < n && good; i++) {
		good = sd_put_uint(page, e[i].chunk - before) && sd_put_uint(page, e[i].count - 1);
		before = e[i].chunk;
	}
	return good;
}

static int write_pages(struct sd_wtable *w, struct sd_encoder *enc, unsigned kind, struct sd_buf *list, ct_u64 *npages,
		       struct ct_error *err)
{
	size_t n = w->group.post[kind].n, end, size;
	struct sd_entry *e = w->group.post[kind].e;
	ct_u64 first = 0, before = 0;

	if (n > enc->sorted_cap) {
		free(enc->sorted);
		enc->sorted_cap = 0;
		enc->sorted = malloc(n * sizeof(*enc->sorted));
		if (!enc->sorted)
			return ct_fail(err, CT_EXIT_FAILED, "no memory to sort %zu postings", n);
		enc->sorted_cap = n;
	}
	sd_sort(e, enc->sorted, n);
	enc->scratch.len = 0;
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && e[end].key == e[i].key; end++)
			;
		if (!enc->scratch.len)
			first = e[i].key;
		if (!put_key(&enc->scratch, enc->scratch.len ? e[i].key - before : e[i].key, e + i, end - i))
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		before = e[i].key;
		if (enc->scratch.len < SD_PAGE_BYTES && end < n)
			continue;
		if (write_index(w, enc, SD_PAGE, kind, &enc->scratch, &size, err) < 0)
			return -1;
		if (!sd_put_uint(list, kind) || !sd_put_uint(list, first) || !sd_put_uint(list, size / 8))
			return ct_fail(err, CT_EXIT_FAILED, "out of memory");
		++*npages;
		enc->scratch.len = 0;
	}
	w->group.post[kind].n = 0;
	return 0;
}

int sd_group_flush(struct sd_wtable *w, struct sd_encoder *enc, struct sd_group *g, struct ct_error *err)
{
	struct sd_buf list = {0}, raw = {0};
	ct_u64 npages = 0;
	size_t size;
	int ret = 1;

	if (!w->group.chunks)
		return 0;
	for (unsigned k = 0; k < w->t->nposts && ret > 0; k++)
		ret = write_pages(w, enc, k, &list, &npages, err) < 0 ? -1 : 1;
	*g = (struct sd_group){.first_chunk = w->group.first_chunk,
			       .first_row = w->group.first_row,
			       .rows = w->done + 1 - w->group.first_row,
			       .offset = w->group.offset,
			       .directory = w->file.size,
			       .chunks = w->group.chunks};
	if (ret > 0 &&
	    !(sd_put_uint(&raw, w->group.chunks) && sd_put(&raw, w->group.directory.data, w->group.directory.len) &&
	      sd_put_uint(&raw, npages) && sd_put(&raw, list.data, list.len)))
		ret = ct_fail(err, CT_EXIT_FAILED, "out of memory");
	if (ret > 0 && write_index(w, enc, SD_DIRECTORY, w->group.chunks, &raw, &size, err) < 0)
		ret = -1;
	g->end = w->file.size;
	w->group.chunks = 0;
	free(list.data);
	free(raw.data);
	return ret;
}

/* ---- Reading ---- */

void sd_group_unload(struct sd_group *g)
{
	free(g->chunk);
	free(g->minmax);
	free(g->page);
	g->chunk = NULL;
	g->minmax = NULL;
	g->page = NULL;
	g->npages = 0;
	g->loaded = false;
}

static bool parse_chunk(const struct sd_table *t, const ct_u8 **p, const ct_u8 *end, struct sd_group *g,
			struct sd_chunk_entry *e, ct_u64 *minmax)
{
	ct_u64 size, rows, mark, span;

	if (!sd_get(p, end, &size) || !sd_get(p, end, &rows) || !sd_get(p, end, &mark) || !rows ||
	    rows > SD_CHUNK_ROWS || size > sd_block_size(SD_RAW_MAX) / 8)
		return false;
	e->size = (ct_u32)size * 8;
	e->rows = (ct_u32)rows;
	e->mark = mark;
	for (unsigned c = 0; c < t->ncols; c++) {
		minmax[2 * c] = 0;
		minmax[2 * c + 1] = UINT64_MAX;
		if (t->col[c].mode == SD_BYTES)
			continue;
		if (!sd_get(p, end, &minmax[2 * c]) || !sd_get(p, end, &span))
			return false;
		minmax[2 * c + 1] = minmax[2 * c] + span;
		if (minmax[2 * c] < g->min[c])
			g->min[c] = minmax[2 * c];
		if (minmax[2 * c + 1] > g->max[c])
			g->max[c] = minmax[2 * c + 1];
	}
	return true;
}

static bool parse_directory(const struct sd_table *t, const ct_u8 *p, const ct_u8 *end, struct sd_group *g)
{
	ct_u64 n, kind, key, size, offset = g->offset, row = g->first_row;

	if (!sd_get(&p, end, &n) || n != g->chunks)
		return false;
	for (ct_u32 i = 0; i < g->chunks; i++) {
		struct sd_chunk_entry *e = &g->chunk[i];

		if (!parse_chunk(t, &p, end, g, e, g->minmax + (size_t)i * t->ncols * 2))
			return false;
		e->offset = offset;
		e->first_row = row;
		offset += e->size;
		row += e->rows;
	}
	if (row != g->first_row + g->rows || !sd_get(&p, end, &n) || n > (ct_u64)(end - p))
		return false;
	g->page = calloc(n ? (size_t)n : 1, sizeof(*g->page));
	if (!g->page)
		return false;
	for (; n; n--) {
		struct sd_page_entry *e = &g->page[g->npages];

		if (!sd_get(&p, end, &kind) || !sd_get(&p, end, &key) || !sd_get(&p, end, &size) || kind >= t->nposts ||
		    size > sd_block_size(SD_RAW_MAX) / 8)
			return false;
		*e = (struct sd_page_entry){key, offset, (ct_u32)size * 8, (ct_u32)kind};
		if (g->npages && (kind < e[-1].kind || (kind == e[-1].kind && key <= e[-1].first_key)))
			return false;
		g->npages++;
		offset += e->size;
	}
	return p == end && offset == g->directory;
}

int sd_directory_parse(const struct sd_table *t, const ct_u8 *data, size_t len, struct sd_group *g,
		       struct ct_error *err)
{
	g->chunk = calloc(g->chunks, sizeof(*g->chunk));
	g->minmax = calloc((size_t)g->chunks * t->ncols * 2, sizeof(*g->minmax));
	memset(g->min, 0xff, sizeof(g->min));
	memset(g->max, 0, sizeof(g->max));
	g->npages = 0;
	if (g->chunk && g->minmax && parse_directory(t, data, data + len, g)) {
		g->loaded = true;
		return 0;
	}
	sd_group_unload(g);
	return ct_fail(err, CT_EXIT_FAILED, "steps/%s.ctcol: a directory makes no sense; rebuild it with `ctbpf index`",
		       t->name);
}

bool sd_page_walk(const ct_u8 *data, size_t len, ct_u32 chunks, ct_u64 first, ct_u64 last, sd_posting *each, void *arg)
{
	const ct_u8 *p = data, *end = data + len;
	ct_u64 key = 0, delta, n, chunk, count, at;

	while (p < end) {
		if (!sd_get(&p, end, &delta) || !sd_get(&p, end, &n) || n > chunks)
			return false;
		key += delta;
		if (key > last)
			return true;
		for (chunk = 0; n; n--) {
			if (!sd_get(&p, end, &at) || !sd_get(&p, end, &count) || count >= SD_CHUNK_ROWS ||
			    at >= chunks || chunk + at >= chunks)
				return false;
			chunk += at;
			if (key >= first)
				each(arg, key, (ct_u32)chunk, (ct_u32)count + 1);
		}
	}
	return true;
}
