// SPDX-License-Identifier: MIT
/* Names resolved without a server: /etc/hosts, numbers, services, protocols. */
#include "behave.h"
#include <netdb.h>
#include <sys/socket.h>

int main(void)
{
	const char *const name[] = {"localhost", "127.0.0.1", "::1", NULL};
	struct addrinfo hints = {.ai_flags = AI_NUMERICSERV}, *list;
	char host[200], port[20];

	for (int i = 0; i < 4; i++) {
		if (OK(getaddrinfo(name[i], "80", &hints, &list)))
			continue;
		for (struct addrinfo *a = list; a; a = a->ai_next) {
			mix(a->ai_addr, a->ai_addrlen);
			TRY(getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST));
			mix_text(host);
		}
		freeaddrinfo(list);
	}
	struct hostent *h = gethostbyname("localhost");
	TRY(h != NULL);
	struct servent *s = getservbyname("ssh", "tcp");
	TRY(s ? s->s_port : 0);
	struct protoent *p = getprotobyname("tcp");
	TRY(p ? p->p_proto : 0);
	return end();
}
