// SPDX-License-Identifier: MIT
/* Threads die that hold two thousand robust futexes each. Another one looks at them all the while, and has the CPU
 * every now and then when the kernel is halfway through the list; it also takes the entries that the kernel is done
 * with. */
#include "behave.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>

#define FUTEXES 2000
#define DEATHS  40

static struct entry {
	struct entry *next;
	uint32_t word;
} entries[FUTEXES];
static struct robust_list_head head;

static void *die(void *arg)
{
	const uint32_t tid = gettid();

	for (int i = 0; i < FUTEXES; i++) {
		entries[i].next = i + 1 < FUTEXES ? &entries[i + 1] : (struct entry *)&head;
		entries[i].word = tid;
	}
	head.list.next = (struct robust_list *)entries;
	head.futex_offset = offsetof(struct entry, word);
	if (syscall(SYS_set_robust_list, &head, sizeof(head)))
		_exit(1);
	return arg;
}

int main(void)
{
	for (long n = 0; n < DEATHS; n++) {
		volatile struct entry *e = entries;
		pthread_t t;

		OK(pthread_create(&t, NULL, die, NULL));
		for (int dead = 0, before = 0; dead < FUTEXES; before = dead) {
			for (dead = 0; dead < FUTEXES && e[dead].word & FUTEX_OWNER_DIED; dead++)
				e[dead].next = NULL;
			if (dead != before)
				mix_number(dead);
		}
		OK(pthread_join(t, NULL));
		memset(entries, 0, sizeof(entries));
	}
	return end();
}
