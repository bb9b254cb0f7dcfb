// SPDX-License-Identifier: MIT
/* Barriers and spin locks. */
#include "behave.h"
#include <pthread.h>

static pthread_barrier_t barrier;
static pthread_spinlock_t spin;
static long order, serial;

static void *work(void *arg)
{
	for (int i = 0; i < 30; i++) {
		if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
			serial = serial * 7 + (long)arg;
		pthread_spin_lock(&spin);
		order = order * 5 + (long)arg;
		pthread_spin_unlock(&spin);
	}
	return NULL;
}

int main(void)
{
	pthread_t t[3];

	pthread_barrier_init(&barrier, NULL, 3);
	pthread_spin_init(&spin, 0);
	for (long i = 0; i < 3; i++)
		OK(pthread_create(&t[i], NULL, work, (void *)i));
	for (int i = 0; i < 3; i++)
		OK(pthread_join(t[i], NULL));
	mix_number(order), mix_number(serial);
	return end();
}
