// SPDX-License-Identifier: MIT
/* fexecve: a program by its descriptor; a script too. */
#include "behave.h"

int main(int argc, char **argv)
{
	int status, fd;
	pid_t pid;

	if (argc > 1)
		return end();
	fd = OK(open("script", O_WRONLY | O_CREAT, 0700));
	OK(write(fd, "#!/bin/sh\nexit 7\n", 17));
	close(fd);
	pid = OK(fork());
	if (!pid) {
		execl("./script", "script", NULL);
		_exit(1);
	}
	OK(waitpid(pid, &status, 0));
	mix_number(status);
	end();
	fd = OK(open("/proc/self/exe", O_RDONLY));
	char *args[] = {argv[0], "again", NULL}, *env[] = {NULL};

	fexecve(fd, args, env);
	return 1;
}
