# SPDX-License-Identifier: MIT
# Endless work for tests/repeat: hashes, regular expressions, sorting, under alarms that run a handler between two ops.
use strict;
use warnings;
use Time::HiRes qw(ualarm);
$| = 1;
my ($alarms, $n) = (0, 0);
$SIG{ALRM} = sub { $alarms++; ualarm(2000 + $alarms % 700) };
ualarm(2000);
while (1) {
	my %h;
	$h{ ($_ * 7919 + $n) % 1009 } .= chr(65 + $_ % 26) for 1 .. 2000;
	my $text = join ' ', map { "$_=$h{$_}" } sort { $h{$a} cmp $h{$b} || $a <=> $b } keys %h;
	my $found = () = $text =~ /\b(\d+)=([A-M]+)/g;
	(my $t = $text) =~ s/(\w)=(\w)/$2=$1/g;
	my $out = $n % 40 ? '' : `echo $n`;
	die "echo" if $out ne '' && $out != $n;
	print "ready $n $alarms $found\n" if ++$n % 20 == 3;
}
