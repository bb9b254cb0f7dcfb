/* SPDX-License-Identifier: MIT
 * Reads TOML 1.0 into JSON. Dates and times become strings, inf and nan null. Depends on nothing but jansson. */
#ifndef CT_TOML_H
#define CT_TOML_H

#include <jansson.h>
#include <stddef.h>

#include "formats/error.h"

/* The root table, or NULL with *err, whose message begins with "NAME:LINE: ". */
json_t *ct_toml_parse(const char *text, size_t len, const char *name, struct ct_error *err);
/* In which line a table has this key, or with NULL begins itself; 0: not known. */
unsigned ct_toml_line(const json_t *table, const char *key);
/* For going through a table: keys that are none of the file's. */
int ct_toml_is_own(const char *key);

#endif
