// SPDX-License-Identifier: MIT
/* The kernel's key rings. */
#include "behave.h"
#include <linux/keyctl.h>

int main(void)
{
	char buf[100];
	long key = syscall(SYS_add_key, "user", "behave:key", "payload", 7, KEY_SPEC_PROCESS_KEYRING);

	TRY(key);
	TRY(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0));
	for (long n = 0; n < 60; n += 15) {
		FILL(buf);
		TRY(syscall(SYS_keyctl, KEYCTL_READ, key, buf, n));
		GOT(buf);
		TRY(syscall(SYS_keyctl, KEYCTL_DESCRIBE, key, buf, n));
		GOT(buf);
	}
	TRY(syscall(SYS_request_key, "user", "behave:key", NULL, 0));
	TRY(syscall(SYS_keyctl, KEYCTL_REVOKE, key));
	return end();
}
