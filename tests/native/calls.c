/* SPDX-License-Identifier: MIT
 * A program whose calls and lines are known to debuggers: recursion, pointers to functions, structures, loops, longjmp
 * over calls, tail calls, signals' handlers. For tests/e2e/519-native-steps.sh, which compiles it. */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct point {
	int x, y;
	const char *name;
};
enum color { RED, GREEN = 5, BLUE };
struct list {
	struct list *next;
	double weight;
	enum color color;
};

static jmp_buf env;
static volatile int handled;

static int add(int a, int b)
{
	return a + b;
}

static int multiply(int a, int b)
{
	return a * b;
}

static unsigned factorial(unsigned n)
{
	unsigned long long rest;

	if (n < 2)
		return 1;
	rest = factorial(n - 1);
	return (unsigned)(n * rest);
}

static struct point moved(struct point p, int by)
{
	p.x += by;
	p.y -= by;
	return p;
}

static double total(const struct list *l)
{
	double sum = 0;

	for (; l; l = l->next) {
		if (l->color == GREEN)
			continue;
		sum += l->weight;
	}
	return sum;
}

static int apply(int (*f)(int, int), int a, int b)
{
	int result = f(a, b);

	switch (result) {
	case 7: result++; break;
	case 12:
		result--;
		/* fall through */
	default: result += 100;
	}
	return result;
}

static void deep(int left)
{
	if (!left)
		longjmp(env, 3);
	deep(left - 1);
	puts("never");
}

static int jumps(void)
{
	int n = setjmp(env);

	if (n)
		return n;
	deep(4);
	return -1;
}

static void on_signal(int sig)
{
	handled += sig;
}

int main(void)
{
	struct point p = {1, 2, "origin"}, q;
	struct list last = {NULL, 0.5, BLUE}, mid = {&last, 100, GREEN}, first = {&mid, 1.25, RED};
	char text[16];
	int sum = 0;

	for (int i = 0; i < 3; i++)
		sum += add(i, sum);
	sum += apply(add, 3, 4) + apply(multiply, 3, 4);
	sum += (int)factorial(5);
	q = moved(p, sum);
	snprintf(text, sizeof(text), "%d", q.x);
	sum += (int)strlen(text);
	printf("%g %d\n", total(&first), jumps());
	signal(SIGUSR1, on_signal);
	kill(getpid(), SIGUSR1);
	do
		sum--;
	while (sum > 250);
	printf("%d %d %s %d\n", sum, handled, text, q.y);
	return 0;
}
