// SPDX-License-Identifier: MIT
/* /proc of a process with threads: its tasks, their names, states and stacks. */
#include "behave.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>

static pthread_barrier_t ready, over;

static void *work(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "worker-%ld", (long)arg);
	prctl(PR_SET_NAME, name);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&over);
	return NULL;
}

int main(void)
{
	char path[300], buf[2000];
	pthread_t t[3];
	struct dirent *e;

	pthread_barrier_init(&ready, NULL, 4);
	pthread_barrier_init(&over, NULL, 4);
	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	pthread_barrier_wait(&ready);
	DIR *d = opendir("/proc/self/task");
	MUST_BE(d);
	while ((e = readdir(d))) {
		mix_text(e->d_name);
		snprintf(path, sizeof(path), "/proc/self/task/%s/stat", e->d_name);
		int fd = open(path, O_RDONLY);
		FILL(buf);
		TRY(read(fd, buf, sizeof(buf)));
		GOT(buf);
		close(fd);
	}
	closedir(d);
	pthread_barrier_wait(&over);
	for (int i = 0; i < 3; i++)
		OK(pthread_join(t[i], NULL));
	return end();
}
