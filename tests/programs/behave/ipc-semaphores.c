// SPDX-License-Identifier: MIT
/* System V semaphores, waited for with and without limits, undone at exit. */
#include "behave.h"
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

int main(void)
{
	struct semid_ds ds;
	struct seminfo info;
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0}, undo = {1, 3, SEM_UNDO};
	struct timespec ts = {0, 1000000};
	int status, id = OK(semget(IPC_PRIVATE, 3, IPC_CREAT | 0600));

	OK(semctl(id, 0, SETVAL, 0));
	pid_t pid = OK(fork());
	if (!pid) {
		OK(semop(id, &undo, 1));
		for (int i = 0; i < 10; i++)
			semop(id, &up, 1);
		_exit(0);
	}
	for (int i = 0; i < 10; i++)
		OK(semop(id, &down, 1));
	OK(waitpid(pid, &status, 0));
	TRY(semtimedop(id, &down, 1, &ts));
	OK(semctl(id, 0, GETVAL));
	OK(semctl(id, 1, GETVAL));
	OK(semctl(id, 0, GETPID));
	OK(semctl(id, 0, GETNCNT));
	FILL(ds);
	OK(semctl(id, 0, IPC_STAT, &ds));
	GOT(ds);
	FILL(info);
	OK(semctl(0, 0, IPC_INFO, &info));
	GOT(info);
	unsigned short all[3] = {4, 5, 6};
	OK(semctl(id, 0, SETALL, all));
	OK(semctl(id, 0, IPC_RMID));
	TRY(semop(id, &down, 1));
	return end() | status;
}
