#include "output.h"
int ct_export_codetracer(const struct ct_export_source *src, const struct ct_export_options *opts, int dirfd,
			 struct ct_export_result *result, struct ct_error *err)
{ (void)src,(void)opts,(void)dirfd,(void)result; return ct_fail(err, CT_EXIT_FAILED, "not yet"); }
