/* SPDX-License-Identifier: MIT
 * Columns of the step database: which there are, and how 4096 numbers become few bytes and numbers again.
 *
 * A number is first made small by the column's mode, then written as one constant, as runs, or one by one; zstd last.
 */
#include <string.h>

#include "stepdb_private.h"

const struct sd_table sd_tables[CT_NROWS] = {
	[CT_STEPS] = {"steps",
		      CT_STEP_NCOLS,
		      1,
		      {{"location", SD_DELTA, 0},
		       {"call", SD_DELTA, 0},
		       {"thread", SD_PLAIN, 0},
		       {"event_seq", SD_DELTA, 0},
		       {"time_ns", SD_DELTA, 0}}},
	[CT_CALLS] = {"calls",
		      CT_CALL_NCOLS,
		      1,
		      {{"parent", SD_BACK, 0},
		       {"thread", SD_PLAIN, 0},
		       {"function", SD_PLAIN, 0},
		       {"from_step", SD_DELTA, 0},
		       {"depth", SD_PLAIN, 0},
		       {"flags", SD_PLAIN, 0},
		       {"enter_event", SD_DELTA, 0},
		       {"enter_ns", SD_DELTA, 0},
		       {"state", SD_PLAIN, 0},
		       {"first_step", SD_REL, CT_CALL_FROM_STEP},
		       {"last_step", SD_REL, CT_CALL_FIRST_STEP},
		       {"exit_event", SD_REL, CT_CALL_ENTER_EVENT},
		       {"duration_ns", SD_PLAIN, 0},
		       {"self_ns", SD_REL, CT_CALL_DURATION},
		       {"exception", SD_PLAIN, 0}}},
	[CT_VALUES] =
		{"values",
		 CT_VALUE_NCOLS,
		 2,
		 {{"variable", SD_PLAIN, 0}, {"step", SD_DELTA, 0}, {"call", SD_DELTA, 0}, {"node", SD_BYTES, 0}}},
	[CT_EXITS] = {"exits",
		      SD_EXIT_COL(CT_CALL_NCOLS),
		      0,
		      {{"call", SD_DELTA, 0},
		       {"state", SD_PLAIN, 0},
		       {"first_step", SD_DELTA, 0},
		       {"last_step", SD_DELTA, 0},
		       {"exit_event", SD_DELTA, 0},
		       {"duration_ns", SD_PLAIN, 0},
		       {"self_ns", SD_PLAIN, 0},
		       {"exception", SD_PLAIN, 0}}},
};

/* ---- Bytes ---- */

bool sd_reserve(struct sd_buf *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 4096;
	ct_u8 *data;

	if (need <= b->cap - b->len)
		return true;
	while (cap - b->len < need)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

bool sd_put(struct sd_buf *b, const void *data, size_t len)
{
	if (!sd_reserve(b, len))
		return false;
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return true;
}

bool sd_put_uint(struct sd_buf *b, ct_u64 v)
{
	if (!sd_reserve(b, SD_VARINT_MAX))
		return false;
	b->len = (size_t)(sd_varint(b->data + b->len, v) - b->data);
	return true;
}

/* ---- Encoding ---- */

enum codec { CONSTANT = 1, RUNS, SINGLE, WHOLE /* lengths, then bytes */ };
#define PACKED   0x80 /* compressed by zstd */
#define PACK_MIN 48   /* bytes below which zstd cannot gain */

/* The column's numbers as zigzag residuals; returns how many runs of equal ones there are. */
static unsigned residuals(const struct sd_column *col, const ct_u64 *v, const ct_u64 *ref, unsigned rows,
			  ct_u64 first_row, ct_u64 *out)
{
	ct_u64 before = 0;
	unsigned runs = 1;

	switch (col->mode) {
	case SD_DELTA:
		for (unsigned i = 0; i < rows; i++) {
			out[i] = sd_zigzag(v[i] - before);
			before = v[i];
		}
		break;
	case SD_BACK:
		for (unsigned i = 0; i < rows; i++)
			out[i] = sd_zigzag(first_row + i - v[i]);
		break;
	case SD_REL:
		for (unsigned i = 0; i < rows; i++)
			out[i] = sd_zigzag(v[i] - ref[i]);
		break;
	default: memcpy(out, v, rows * sizeof(*out));
	}
	for (unsigned i = 1; i < rows; i++)
		runs += out[i] != out[i - 1];
	return runs;
}

static bool encode_numbers(const struct sd_column *col, const ct_u64 *v, const ct_u64 *ref, unsigned rows,
			   ct_u64 first_row, struct sd_buf *out, ct_u8 *codec)
{
	ct_u64 r[SD_CHUNK_ROWS];
	unsigned runs = residuals(col, v, ref, rows, first_row, r);
	ct_u8 *p;

	if (!sd_reserve(out, (size_t)rows * SD_VARINT_MAX))
		return false;
	p = out->data + out->len;
	if (runs == 1) {
		*codec = CONSTANT;
		p = sd_varint(p, r[0]);
	} else if (runs <= rows / 3) {
		*codec = RUNS;
		for (unsigned i = 0, end; i < rows; i = end) {
			for (end = i + 1; end < rows && r[end] == r[i]; end++)
				;
			p = sd_varint(p, r[i]);
			p = sd_varint(p, end - i);
		}
	} else {
		*codec = SINGLE;
		for (unsigned i = 0; i < rows; i++)
			p = sd_varint(p, r[i]);
	}
	out->len = (size_t)(p - out->data);
	return true;
}

static bool encode_bytes(const ct_u64 *ends, unsigned rows, const struct sd_buf *bytes, struct sd_buf *out)
{
	ct_u64 before = 0;

	for (unsigned i = 0; i < rows; before = ends[i++])
		if (!sd_put_uint(out, ends[i] - before))
			return false;
	return sd_put(out, bytes->data, bytes->len);
}

bool sd_column_encode(ZSTD_CCtx *zstd, const struct sd_table *t, unsigned c, ct_u64 *const *cols, unsigned rows,
		      ct_u64 first_row, const struct sd_buf *bytes, struct sd_buf *head, struct sd_buf *body,
		      struct sd_buf *scratch)
{
	const struct sd_column *col = &t->col[c];
	const ct_u64 *ref = col->mode == SD_REL ? cols[col->ref] : NULL;
	ct_u8 codec = WHOLE;
	size_t raw, stored;

	scratch->len = 0;
	if (!(col->mode == SD_BYTES ? encode_bytes(cols[c], rows, bytes, scratch)
				    : encode_numbers(col, cols[c], ref, rows, first_row, scratch, &codec)))
		return false;
	raw = stored = scratch->len;
	if (raw >= PACK_MIN) {
		if (!sd_reserve(body, ZSTD_compressBound(raw)))
			return false;
		stored = ZSTD_compress2(zstd, body->data + body->len, body->cap - body->len, scratch->data, raw);
		if (ZSTD_isError(stored) || stored >= raw)
			stored = raw;
		else
			codec |= PACKED;
	}
	if (!(codec & PACKED) && !sd_put(body, scratch->data, raw))
		return false;
	if (codec & PACKED)
		body->len += stored;
	return sd_put(head, &codec, 1) && sd_put_uint(head, raw) && (!(codec & PACKED) || sd_put_uint(head, stored));
}

/* ---- Decoding: nothing is believed ---- */

bool sd_chunk_layout(const struct sd_table *t, const ct_u8 *payload, size_t len, struct sd_layout *layout)
{
	const ct_u8 *p = payload, *end = payload + len;

	for (unsigned c = 0; c < t->ncols; c++) {
		ct_u64 raw, stored;
		ct_u8 codec;

		if (p == end)
			return false;
		codec = *p++;
		if (!sd_get(&p, end, &raw) || raw > SD_RAW_MAX)
			return false;
		stored = raw;
		if ((codec & PACKED) && (!sd_get(&p, end, &stored) || stored > len))
			return false;
		layout->col[c].codec = codec & (ct_u8)~PACKED;
		layout->col[c].packed = codec & PACKED;
		layout->col[c].raw = (size_t)raw;
		layout->col[c].stored = (size_t)stored;
		if ((layout->col[c].codec == WHOLE) != (t->col[c].mode == SD_BYTES) || !layout->col[c].codec ||
		    layout->col[c].codec > WHOLE)
			return false;
	}
	for (unsigned c = 0; c < t->ncols; c++) {
		if (layout->col[c].stored > (size_t)(end - p))
			return false;
		layout->col[c].at = p;
		p += layout->col[c].stored;
	}
	return p == end;
}

/* Eight numbers of one byte each, as most are. */
static bool decode_eight(const ct_u8 *p, ct_u64 *out)
{
	ct_u64 eight;

	memcpy(&eight, p, 8);
	if (eight & 0x8080808080808080ull)
		return false;
	for (unsigned k = 0; k < 8; k++)
		out[k] = p[k];
	return true;
}

/* A number of two to eight bytes, without a branch for each. Returns where it ends; NULL: it is longer. */
static const ct_u8 *decode_long(const ct_u8 *p, ct_u64 *out)
{
	ct_u64 x, last;

	memcpy(&x, p, 8);
	last = ~x & 0x8080808080808080ull;
	if (!last)
		return NULL;
	last &= -last;
	x &= (last << 1) - 1;
	x = (x & 0x007f007f007f007full) | (x & 0x7f007f007f007f00ull) >> 1;
	x = (x & 0x00003fff00003fffull) | (x & 0x3fff00003fff0000ull) >> 2;
	*out = (x & 0x0fffffffull) | (x & 0x0fffffff00000000ull) >> 4;
	return p + (unsigned)__builtin_ctzll(last) / 8 + 1;
}

static bool decode_single(const ct_u8 **at, const ct_u8 *end, unsigned rows, ct_u64 *out)
{
	const ct_u8 *p = *at, *next;
	unsigned i = 0;

	while (i < rows) {
		if (rows - i >= 8 && end - p >= 8 && decode_eight(p, out + i)) {
			p += 8;
			i += 8;
		} else if (p < end && *p < 128) {
			out[i++] = *p++;
		} else if (end - p >= 8 && (next = decode_long(p, out + i))) {
			p = next;
			i++;
		} else if (!sd_get(&p, end, &out[i++])) {
			return false;
		}
	}
	*at = p;
	return true;
}

/* out[k] = first + k * by, n of them of the `room` there are. Runs are short: eight at a time need no loop. */
static inline void fill(ct_u64 *out, ct_u64 first, ct_u64 by, unsigned n, unsigned room)
{
	unsigned k = 0;

	for (; k < n && room - k >= 8; k += 8, first += 8 * by)
		for (unsigned j = 0; j < 8; j++)
			out[k + j] = first + j * by;
	for (; k < n; k++, first += by)
		out[k] = first;
}

/* Runs of differences to the row before, in one pass. */
static bool decode_delta_runs(const ct_u8 *p, const ct_u8 *end, unsigned rows, ct_u64 *out)
{
	ct_u64 v, n, before = 0;

	for (unsigned i = 0; i < rows; i += (unsigned)n) {
		if (!sd_get(&p, end, &v) || !sd_get(&p, end, &n) || !n || n > rows - i)
			return false;
		v = sd_unzigzag(v);
		fill(out + i, before + v, v, (unsigned)n, rows - i);
		before += v * n;
	}
	return p == end;
}

/* The residuals of a number column. */
static bool decode_residuals(ct_u8 codec, const ct_u8 *p, const ct_u8 *end, unsigned rows, ct_u64 *out)
{
	unsigned i = 0;
	ct_u64 v, n;

	if (codec == CONSTANT) {
		if (!sd_get(&p, end, &v))
			return false;
		for (; i < rows; i++)
			out[i] = v;
	}
	for (; codec == RUNS && i < rows; i += (unsigned)n) {
		if (!sd_get(&p, end, &v) || !sd_get(&p, end, &n) || !n || n > rows - i)
			return false;
		fill(out + i, v, 0, (unsigned)n, rows - i);
	}
	if (codec == SINGLE && !decode_single(&p, end, rows, out))
		return false;
	return p == end;
}

static bool decode_bytes(const ct_u8 *data, size_t len, unsigned rows, ct_u64 *ends, ct_u8 **bytes)
{
	const ct_u8 *p = data, *end = data + len;
	ct_u64 total = 0, n;

	for (unsigned i = 0; i < rows; i++) {
		if (!sd_get(&p, end, &n) || n > SD_RAW_MAX)
			return false;
		ends[i] = total += n;
	}
	if (total != (ct_u64)(end - p))
		return false;
	*bytes = malloc(total ? (size_t)total : 1);
	if (*bytes && total)
		memcpy(*bytes, p, (size_t)total);
	return *bytes != NULL;
}

static bool decode_numbers(const struct sd_column *col, ct_u8 codec, const ct_u8 *data, size_t len, unsigned rows,
			   ct_u64 first_row, const ct_u64 *ref, ct_u64 *out)
{
	ct_u64 before = 0;

	if (codec == RUNS && col->mode == SD_DELTA)
		return decode_delta_runs(data, data + len, rows, out);
	if (!decode_residuals(codec, data, data + len, rows, out))
		return false;
	/* A loop for each: there are 10^8 rows to be asked. */
	switch (col->mode) {
	case SD_DELTA:
		for (unsigned i = 0; i < rows; i++)
			out[i] = before += sd_unzigzag(out[i]);
		break;
	case SD_BACK:
		for (unsigned i = 0; i < rows; i++)
			out[i] = first_row + i - sd_unzigzag(out[i]);
		break;
	case SD_REL:
		for (unsigned i = 0; i < rows; i++)
			out[i] = ref[i] + sd_unzigzag(out[i]);
		break;
	default: break;
	}
	return true;
}

bool sd_column_decode(ZSTD_DCtx *zstd, const struct sd_table *t, unsigned c, const struct sd_layout *layout,
		      unsigned rows, ct_u64 first_row, const ct_u64 *ref, ct_u64 *out, ct_u8 **bytes)
{
	const ct_u8 *data = layout->col[c].at;
	size_t len = layout->col[c].raw;
	ct_u8 *unpacked = NULL;
	bool good = true;

	if (layout->col[c].packed) {
		unpacked = malloc(len ? len : 1);
		good = unpacked && ZSTD_decompressDCtx(zstd, unpacked, len, data, layout->col[c].stored) == len;
		data = unpacked;
	}
	if (good && t->col[c].mode == SD_BYTES)
		good = decode_bytes(data, len, rows, out, bytes);
	else if (good)
		good = decode_numbers(&t->col[c], layout->col[c].codec, data, len, rows, first_row, ref, out);
	free(unpacked);
	return good;
}

/* ---- Sorting ---- */

/* Radix sort by bytes; a byte that is the same in all keys costs nothing. */
void sd_sort(struct sd_entry *e, struct sd_entry *scratch, size_t n)
{
	struct sd_entry *from = e, *to = scratch;
	ct_u64 any = 0;

	for (size_t i = 1; i < n; i++)
		any |= e[i].key ^ e[0].key;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		size_t start[257] = {0};
		struct sd_entry *swap;

		if (!(any >> shift & 255))
			continue;
		for (size_t i = 0; i < n; i++)
			start[(from[i].key >> shift & 255) + 1]++;
		for (unsigned k = 1; k < 257; k++)
			start[k] += start[k - 1];
		for (size_t i = 0; i < n; i++)
			to[start[from[i].key >> shift & 255]++] = from[i];
		swap = from;
		from = to;
		to = swap;
	}
	if (from != e)
		memcpy(e, from, n * sizeof(*e));
}
