/* SPDX-License-Identifier: MIT
 * CRC32C (Castagnoli), the checksum of everything in a recording but page contents.
 *
 * Uses the SSE4.2 instruction where the CPU has it, else a table of half-bytes. */
#include "segment.h"

#include <string.h>

ct_u32 ct_crc32c_portable(ct_u32 crc, const void *data, size_t len)
{
	/* Remainders of the 16 values of a half-byte; polynomial 0x82f63b78, reflected. */
	static const ct_u32 table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const ct_u8 *p = data;

	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static ct_u32 crc32c_sse42(ct_u32 crc, const void *data, size_t len)
{
	const ct_u8 *p = data;
	ct_u64 c = (ct_u32)~crc;

	for (; len >= 8; len -= 8, p += 8) {
		ct_u64 word;
		memcpy(&word, p, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; len; len--, p++)
		c = __builtin_ia32_crc32qi((ct_u32)c, *p);
	return ~(ct_u32)c;
}
#endif

ct_u32 ct_crc32c(ct_u32 crc, const void *data, size_t len)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
#endif
	return ct_crc32c_portable(crc, data, len);
}
