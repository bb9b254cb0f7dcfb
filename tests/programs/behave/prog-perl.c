// SPDX-License-Identifier: MIT
/* perl: hashes in random order, sorting, regular expressions, fork. */
#include "behave.h"

int main(void)
{
	execlp("perl", "perl", "-e",
	       "my %h = map { $_ => rand } 1..500; print join(',', (keys %h)[0..9]), \"\\n\"; my @s = sort { $h{$a} "
	       "<=> $h{$b} } "
	       "keys %h; print \"@s[0..5]\\n\"; $_ = 'x' x 100 . 'y'; print /(x+)y/ ? length $1 : 0, \"\\n\"; if "
	       "(!fork) { print "
	       "\"child $$\\n\"; exit 3 } wait; print $? >> 8, \" \", time, \"\\n\"; local $SIG{ALRM} = sub { die 'a' "
	       "}; eval { "
	       "alarm 1; select undef, undef, undef, 0.01; alarm 0 }; print `echo out`;",
	       NULL);
	return 1;
}
