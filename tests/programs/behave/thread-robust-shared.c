// SPDX-License-Identifier: MIT
/* A robust mutex in shared memory: its owner is a process that dies of a signal. */
#include "behave.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

int main(void)
{
	pthread_mutexattr_t a;
	pthread_mutex_t *lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	MUST_BE(lock != MAP_FAILED);
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(lock, &a);
	for (int i = 0; i < 6; i++) {
		pid_t pid = OK(fork());

		if (!pid) {
			pthread_mutex_lock(lock);
			if (i & 1)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		OK(waitpid(pid, &status, 0));
		mix(lock, 8);
		TRY(pthread_mutex_lock(lock));
		OK(pthread_mutex_consistent(lock));
		OK(pthread_mutex_unlock(lock));
	}
	return end();
}
