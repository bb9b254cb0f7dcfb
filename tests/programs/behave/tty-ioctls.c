// SPDX-License-Identifier: MIT
/* ioctls of terminals: queues, numbers, locks, breaks, packets. */
#include "behave.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
	const unsigned long ask[] = {TIOCGPTN, TIOCOUTQ,  TIOCGETD, TIOCGSOFTCAR, TIOCGPTLCK,
				     TIOCGPKT, TIOCGEXCL, TIOCGDEV, TIOCMGET};
	struct termios2_ {
		char all[44];
	} t2;
	char buf[100];
	int n, m = OK(posix_openpt(O_RDWR | O_NOCTTY));

	OK(grantpt(m));
	OK(unlockpt(m));
	int s = OK(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));

	for (size_t i = 0; i < sizeof(ask) / sizeof(*ask); i++) {
		FILL(n);
		TRY(ioctl(m, ask[i], &n));
		GOT(n);
		TRY(ioctl(s, ask[i], &n));
		GOT(n);
	}
	FILL(t2);
	OK(ioctl(s, 0x802c542a, &t2));
	GOT(t2);
	n = 1;
	OK(ioctl(m, TIOCPKT, &n));
	OK(tcflush(s, TCIOFLUSH));
	OK(tcsendbreak(s, 0));
	OK(tcflow(s, TCOOFF));
	OK(tcflow(s, TCOON));
	FILL(buf);
	TRY(read(m, buf, sizeof(buf)));
	GOT(buf);
	OK(write(s, "x", 1));
	OK(tcdrain(s));
	OK(read(m, buf, sizeof(buf)));
	GOT(buf);
	TRY(ioctl(s, 0x7777, buf));
	return end();
}
