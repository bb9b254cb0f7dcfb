// SPDX-License-Identifier: MIT
/* A database: transactions in a file, with a journal. */
#include "behave.h"

int main(void)
{
	execl("/bin/sh", "sh", "-c",
	      "command -v sqlite3 >/dev/null || exit 0; sqlite3 db 'create table t(a, b); begin; insert into t select "
	      "value, "
	      "random() from generate_series(1, 500); commit; select count(*), sum(b % 1000) from t; delete from t "
	      "where a % "
	      "2; vacuum;'",
	      NULL);
	return 1;
}
