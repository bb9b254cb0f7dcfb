/* SPDX-License-Identifier: MIT
 * Fuzzing the reader of TOML, and what trace-filter files say: the input is such a file. */
#include <stdint.h>

#include "user/call_filter.h"
#include "user/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ct_call_filter *f;
	struct ct_error err;
	bool silent;

	json_decref(ct_toml_parse((const char *)data, size, "toml", &err));
	f = ct_call_filter_parse((const char *)data, size, "toml", &err);
	if (f)
		ct_call_filter_skips(f, "shop.order", "/usr/bin/shop", "/src/shop/orders.py", &silent);
	ct_call_filter_free(f);
	return 0;
}
