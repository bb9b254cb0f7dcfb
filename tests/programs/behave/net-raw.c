// SPDX-License-Identifier: MIT
/* Raw and packet sockets, where they are allowed: a datagram to itself. */
#include "behave.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_ll from;
	socklen_t len;
	char buf[300];
	int raw = socket(AF_INET, SOCK_RAW, 253), packet = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));

	TRY(raw), TRY(packet);
	for (int i = 0; i < 5; i++) {
		FILL(buf), FILL(from);
		TRY(sendto(raw, "payload", 7, 0, (void *)&sin, sizeof(sin)));
		TRY(recv(raw, buf, sizeof(buf), MSG_DONTWAIT));
		GOT(buf);
		len = sizeof(from);
		TRY(recvfrom(packet, buf, sizeof(buf), MSG_DONTWAIT, (void *)&from, &len));
		GOT(buf), GOT(from), GOT(len);
	}
	return end();
}
