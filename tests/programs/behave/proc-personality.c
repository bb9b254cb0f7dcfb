// SPDX-License-Identifier: MIT
/* personality, kcmp, get_robust_list, arch_prctl. */
#include "behave.h"

int main(void)
{
	void *head;
	size_t len;
	unsigned long fs;

	OK(syscall(SYS_personality, 0xffffffff));
	TRY(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 1));
	FILL(head), FILL(len);
	OK(syscall(SYS_get_robust_list, 0, &head, &len));
	GOT(head), GOT(len);
	FILL(fs);
	OK(syscall(SYS_arch_prctl, 0x1003, &fs));
	GOT(fs);
	OK(syscall(SYS_arch_prctl, 0x1004, &fs));
	GOT(fs);
	TRY(syscall(SYS_arch_prctl, 0x1011, 0));
	TRY(syscall(SYS_membarrier, 0, 0, 0));
	return end();
}
