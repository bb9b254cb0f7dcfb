// SPDX-License-Identifier: MIT
/* ioctls and library calls that tell of interfaces. */
#include "behave.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(void)
{
	const int ask[] = {SIOCGIFFLAGS, SIOCGIFADDR,   SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR,
			   SIOCGIFINDEX, SIOCGIFMETRIC, SIOCGIFTXQLEN,  SIOCGIFMAP, SIOCGIFBRDADDR};
	char room[2000];
	struct ifconf conf = {.ifc_len = sizeof(room), .ifc_buf = room};
	struct ifreq req;
	struct ifaddrs *list;
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));

	for (int i = 0; i < 10; i++) {
		FILL(req);
		strcpy(req.ifr_name, "lo");
		TRY(ioctl(s, ask[i], &req));
		GOT(req);
	}
	FILL(room);
	OK(ioctl(s, SIOCGIFCONF, &conf));
	GOT(room), GOT(conf.ifc_len);
	OK(getifaddrs(&list));
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		mix_text(i->ifa_name);
		mix_number(i->ifa_flags);
	}
	freeifaddrs(list);
	mix_number(if_nametoindex("lo"));
	struct if_nameindex *ni = if_nameindex();
	MUST_BE(ni);
	mix_text(ni[0].if_name);
	if_freenameindex(ni);
	return end();
}
