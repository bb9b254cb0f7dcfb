// SPDX-License-Identifier: MIT
/* sort, sed, tar, gzip, find, xargs in pipelines. */
#include "behave.h"

int main(void)
{
	execl("/bin/sh", "sh", "-c",
	      "find /etc -maxdepth 1 -type f 2>/dev/null | sort -r | head -20 | xargs ls -l | sed 's/root/ROOT/g' | "
	      "cksum; "
	      "cp /etc/passwd p; tar cf - p | gzip -9 | gzip -d | tar tvf - ; dd if=/dev/urandom bs=100 count=5 "
	      "2>/dev/null | od "
	      "-x | tail -3; seq 3000 | sort -R | sort -n | md5sum; date; mktemp -u; ps -o pid,comm; grep -c root "
	      "/etc/passwd",
	      NULL);
	return 1;
}
