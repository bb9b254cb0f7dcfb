// SPDX-License-Identifier: MIT
/* Timers interrupt a loop that stands at the very end of its mapping, as that of a JIT: what is read around it to find
 * the place must not ask for what is behind. One counts in a register, the other only in memory that no register
 * points at. */
#include "behave.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#define PAGE 4096
#define FAR  (2 * PAGE) /* of code: what is nearer is not sampled */

static volatile sig_atomic_t signals;
static unsigned long at;
static volatile unsigned *counter;

static void on(int sig)
{
	(void)sig;
	at = at * 31 + *counter;
	signals++;
}

static void loop(unsigned char *page, const unsigned char *code, size_t len)
{
	unsigned char *p = page + PAGE - len;

	OK(mprotect(page, PAGE, PROT_READ | PROT_WRITE));
	memcpy(p, code, len);
	OK(mprotect(page, PAGE, PROT_READ | PROT_EXEC));
	for (int want = signals + 20; signals < want;)
		((void (*)(void))p)();
	mix_number(*counter);
}

int main(void)
{
	/* mov $3000000,%eax; jmp over; ret; over: incl counter; dec %eax; jz -> ret; jmp over */
	unsigned char registers[] = {0xb8, 0xc0, 0xc6, 0x2d, 0x00, 0xeb, 0x01, 0xc3, 0xff, 0x05, 0,   0,
				     0,    0,    0xff, 0xc8, 0x74, 0xf5, 0xe9, 0xf1, 0xff, 0xff, 0xff};
	/* movl $0,turns; jmp over; ret; over: incl counter; incl turns; testl $0x200000,turns; jnz -> ret; jmp over */
	unsigned char memory[] = {0xc7, 0x05, 0, 0, 0, 0,    0,    0,    0,    0,    0xeb, 0x01, 0xc3, 0xff,
				  0x05, 0,    0, 0, 0, 0xff, 0x05, 0,    0,    0,    0,    0xf7, 0x05, 0,
				  0,    0,    0, 0, 0, 0x20, 0,    0x75, 0xe7, 0xe9, 0xe3, 0xff, 0xff, 0xff};
	struct itimerval it = {{0, 3000}, {0, 3000}}, off = {0};
	unsigned char *area = mmap(NULL, FAR + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *code = area + FAR;
	int rel;

	MUST_BE(area != MAP_FAILED);
	OK(munmap(code + PAGE, PAGE)); /* nothing is behind the code */
	counter = (volatile unsigned *)area;
#define FROM_END(array, next, to)                                                                                      \
	(rel = (int)((to) - (code + PAGE - sizeof(array) + (next))), memcpy((array) + (next)-4, &rel, 4))
	FROM_END(registers, 14, area);
	FROM_END(memory, 19, area);
	FROM_END(memory, 25, area + 64);
	rel = (int)(area + 64 - (code + PAGE - sizeof(memory) + 10));
	memcpy(memory + 2, &rel, 4);
	rel = (int)(area + 64 - (code + PAGE - sizeof(memory) + 35));
	memcpy(memory + 27, &rel, 4);
	signal(SIGALRM, on);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	loop(code, registers, sizeof(registers));
	loop(code, memory, sizeof(memory));
	OK(setitimer(ITIMER_REAL, &off, NULL));
	mix_number(at);
	return end();
}
