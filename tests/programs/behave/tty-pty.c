// SPDX-License-Identifier: MIT
/* A pseudo terminal: lines, echo, both ends. */
#include "behave.h"
// cflags: -lutil
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

int main(void)
{
	char buf[300], name[100];
	struct winsize ws = {24, 80, 0, 0};
	struct termios t;
	int m, s, n;

	OK(openpty(&m, &s, name, NULL, &ws));
	mix_text(name);
	MUST_BE(ptsname(m));
	mix_text(ttyname(s) ? ttyname(s) : "");
	for (int i = 0; i < 10; i++) {
		OK(dprintf(m, "typed %d\n", i));
		FILL(n);
		OK(ioctl(s, FIONREAD, &n));
		GOT(n);
		FILL(buf);
		OK(read(s, buf, sizeof(buf)));
		GOT(buf);
		OK(read(m, buf, sizeof(buf)));
		GOT(buf);
		OK(dprintf(s, "printed %d\n", i));
		OK(read(m, buf, sizeof(buf)));
		GOT(buf);
		FILL(t);
		OK(tcgetattr(s, &t));
		mix(&t, 36);
		if (i == 9) {
			cfmakeraw(&t);
			OK(tcsetattr(s, TCSADRAIN, &t));
		}
		FILL(ws);
		OK(ioctl(s, TIOCGWINSZ, &ws));
		GOT(ws);
		ws.ws_col++;
		OK(ioctl(m, TIOCSWINSZ, &ws));
	}
	OK(isatty(s));
	TRY(isatty(0) * 0);
	return end();
}
