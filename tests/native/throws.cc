/* SPDX-License-Identifier: MIT
 * Exceptions through calls, clean-up on their way, one that is thrown again; methods, templates, a lambda. For
 * tests/e2e/519-native-steps.sh, which compiles it. */
#include <cstdio>
#include <stdexcept>
#include <string>

namespace shop {
struct Refused : std::runtime_error {
	int code;
	Refused(int c) : std::runtime_error("refused"), code(c) {}
};

class Guard {
	int *count;

public:
	explicit Guard(int *c) : count(c) { ++*count; }
	~Guard()
	{
		--*count;
	}
};

class Account {
	int balance;

public:
	explicit Account(int b) : balance(b) {}
	int withdraw(int amount)
	{
		if (amount > balance)
			throw Refused(amount - balance);
		balance -= amount;
		return balance;
	}
};
} // namespace shop

static int open_guards;

template <typename T> T twice(T value)
{
	return value + value;
}

static int inner(shop::Account &a, int amount)
{
	shop::Guard g(&open_guards);
	int left = a.withdraw(amount);

	return left;
} // gdb breaks here

static int outer(shop::Account &a, int amount)
{
	try {
		return inner(a, amount);
	} catch (const std::logic_error &) {
		return -1;
	}
}

static int again(shop::Account &a)
{
	try {
		return outer(a, 500);
	} catch (...) { // gdb breaks here
		open_guards += 10;
		throw;
	} // gdb breaks here
}

int main()
{
	shop::Account a(100);
	int result = outer(a, 30);

	try {
		result += outer(a, 200);
	} catch (const shop::Refused &e) { // gdb breaks here
		result += e.code;
	}
	try {
		again(a);
	} catch (const std::exception &e) { // gdb breaks here
		std::puts(e.what());
	}
	auto more = [&](int by) {
		return result + by;
	};
	result = twice(more(3));
	std::printf("%d %d\n", result, open_guards);
	return 0;
}
