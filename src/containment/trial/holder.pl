use strict;
# Stands in for whatever else the user runs: keeps the secret where only the kernel's own calls find it,
# says where, and waits. Arguments: numbers of keyctl, add_key, mq_open and mq_send, then the secret's file.
my ($keyctl, $add_key, $mq_open, $mq_send, $file) = @ARGV;
open(my $in, '<', $file) or die; my $secret = <$in>; close $in;
$| = 1;
my $shm = shmget(0x6b770000 + ($$ & 0xffff), 4096, 01600); # IPC_CREAT, 0600
shmwrite($shm, $secret, 0, length $secret) if defined $shm;
my $queue = "keyward-trial-$$-" . int(rand(1e9)); # a queue outlives whoever made it, and process ids come again
my $attributes = pack('q8', 0, 4, 512, 0, 0, 0, 0, 0);
my $mq = syscall($mq_open, $queue, 0102, 0600, $attributes); # O_CREAT | O_RDWR
syscall($mq_send, $mq, $secret, length $secret, 0, 0) if $mq >= 0;
# A terminal of its own: TIOCSPTLCK and TIOCGPTN.
open(my $master, '+<', '/dev/ptmx'); my $terminal = '';
if (defined $master) {
  my $unlock = pack('i', 0); ioctl($master, 0x40045431, $unlock);
  my $number = pack('i', 0); ioctl($master, 0x80045430, $number); $terminal = '/dev/pts/' . unpack('i', $number);
}
# A service of this machine that speaks vsock, on any port.
my $vsock = 0;
my $listener;
if (socket($listener, 40, 1, 0) && bind($listener, pack('SSLLC4', 40, 0, 0xffffffff, 0xffffffff, 0, 0, 0, 0)) && listen($listener, 8)) {
  $vsock = (unpack('SSLL', getsockname($listener)))[2];
}
print "{\"segment\":" . (0x6b770000 + ($$ & 0xffff)) . ",\"queue\":\"$queue\",\"terminal\":\"$terminal\",\"vsock\":$vsock}\n";
my $line = <STDIN>;
shmctl($shm, 0, 0) if defined $shm; # IPC_RMID
syscall($mq_open + 1, $queue) if $mq >= 0; # mq_unlink, on x64 and arm64
