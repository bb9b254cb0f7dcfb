// SPDX-License-Identifier: MIT
/* bash with arrays, process substitution, regular expressions, jobs. */
#include "behave.h"

int main(void)
{
	execl("/bin/bash", "bash", "-c",
	      "a=(x y z); for i in ${!a[@]}; do echo $i ${a[i]}; done; diff <(echo a) <(echo b); [[ abc =~ b(.) ]] && "
	      "echo "
	      "${BASH_REMATCH[1]}; echo $RANDOM $SECONDS $EPOCHREALTIME; printf '%(%T)T\\n' -1; read -t 0.01 x "
	      "</dev/zero; "
	      "sleep 0.02 & jobs; wait -n; coproc cat; echo hi >&${COPROC[1]}; read y <&${COPROC[0]}; echo $y; kill "
	      "%?cat",
	      NULL);
	return 1;
}
