// SPDX-License-Identifier: MIT
/* Libraries loaded and unloaded again, symbols looked up, objects listed. */
#include "behave.h"
#include <dlfcn.h>
#include <link.h>

static int object(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)arg;
	mix_text(info->dlpi_name);
	mix_number(info->dlpi_addr + size * 0);
	return 0;
}

int main(void)
{
	for (int i = 0; i < 3; i++) {
		void *m = dlopen("libm.so.6", RTLD_NOW), *r = dlopen("libresolv.so.2", RTLD_LAZY | RTLD_GLOBAL);
		double (*cosine)(double);
		Dl_info info;

		MUST_BE(m && r);
		*(void **)&cosine = dlsym(m, "cos");
		double x = cosine(i);
		GOT(x);
		MUST_BE(dladdr((void *)cosine, &info));
		mix_text(info.dli_sname ? info.dli_sname : "");
		dl_iterate_phdr(object, NULL);
		MUST_BE(!dlsym(m, "no_such_symbol"));
		mix_text(dlerror());
		OK(dlclose(m));
		OK(dlclose(r));
		MUST_BE(!dlopen("./none.so", RTLD_NOW));
	}
	return end();
}
