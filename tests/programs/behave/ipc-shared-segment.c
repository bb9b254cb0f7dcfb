// SPDX-License-Identifier: MIT
/* not replayable: call 30|shmat|shared memory */
#include "behave.h"
/* System V shared memory: refused. */
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void)
{
	int id = OK(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
	char *p = shmat(id, NULL, 0);

	MUST_BE(p != (void *)-1);
	strcpy(p, "text");
	OK(shmdt(p));
	OK(shmctl(id, IPC_RMID, NULL));
	return end();
}
