// SPDX-License-Identifier: MIT
/* System V messages: sent, received by type, cut off, peeked at. */
#include "behave.h"
#include <sys/ipc.h>
#include <sys/msg.h>

int main(void)
{
	struct {
		long type;
		char text[200];
	} m;
	struct msqid_ds ds;
	struct msginfo info;
	int id = OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600));

	for (int i = 1; i < 20; i++) {
		m.type = i % 3 + 1;
		memset(m.text, i, sizeof(m.text));
		OK(msgsnd(id, &m, i * 10, 0));
		FILL(m);
		OK(msgrcv(id, &m, sizeof(m.text), -3, 0));
		GOT(m);
		OK(msgsnd(id, &m, 50, IPC_NOWAIT));
		FILL(m);
		TRY(msgrcv(id, &m, 20, 0, IPC_NOWAIT));
		TRY(msgrcv(id, &m, 20, 0, MSG_COPY | IPC_NOWAIT));
		OK(msgrcv(id, &m, 20, 0, MSG_NOERROR));
		GOT(m);
		TRY(msgrcv(id, &m, 20, 0, IPC_NOWAIT));
	}
	FILL(ds);
	OK(msgctl(id, IPC_STAT, &ds));
	GOT(ds);
	FILL(info);
	OK(msgctl(0, IPC_INFO, (void *)&info));
	GOT(info);
	OK(msgctl(id, IPC_RMID, NULL));
	return end();
}
